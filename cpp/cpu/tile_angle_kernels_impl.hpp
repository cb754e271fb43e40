// e^(i angle) of many angles, compiled once per instruction set behind tile_kernels_impl.hpp: one sine of the C library
// takes as long as eight here.

namespace qsim::cpu::QSIM_ISA {
namespace {
namespace tile_kernels {

typedef long long Words __attribute__((vector_size(QSIM_VECTOR_BYTES)));

// The angle less the nearest multiple n of pi / 2, in three parts of which the first two have so few bits that their
// multiples are exact (Cody and Waite, "Software Manual for the Elementary Functions", 1980); there, Taylor series.
// Angles are at most tile::widest_angle, and in whole vectors.
inline void units(const double* angles, Index count, double* result) {
  constexpr double per_quarter = 0.63661977236758134308;  // 2 / pi
  constexpr double quarter[3] = {0x1.921FB544p0, 0x4.2D18469p-36, 0x8.98CC51701B839Ap-68};
  constexpr double sine[8] = {-1.0 / 6,          1.0 / 120,          -1.0 / 5040,         1.0 / 362880,
                              -1.0 / 39916800.0, 1.0 / 6227020800.0, -1.0 / 1307674368e3, 1.0 / 355687428096e3};
  constexpr double cosine[7] = {1.0 / 24,          -1.0 / 720,           1.0 / 40320,        -1.0 / 3628800,
                                1.0 / 479001600.0, -1.0 / 87178291200.0, 1.0 / 20922789888e3};
  constexpr double round = 0x1.8p52;  // numbers added to this have no fraction
  const Interleave<double> interleave;
  const Doubles zero{}, one = zero + 1, widest = zero + tile::widest_multiple;
  for (Index k = 0; k < count; k += E<double>) {
    const Doubles x = load(angles + k), shifted = x * per_quarter + round, n = shifted - round;
    const Words turns = reinterpret_cast<Words>(shifted);
    const Doubles r = ((x - n * quarter[0]) - n * quarter[1]) - n * quarter[2], z = r * r, half = 0.5 * z;
    Doubles s = zero + sine[7], c = zero + cosine[6];
    for (int t = 6; t >= 0; --t) s = s * z + sine[t];
    for (int t = 5; t >= 0; --t) c = c * z + cosine[t];
    s = r + r * z * s;
    const Doubles rest = one - half;
    c = rest + (((one - rest) - half) + z * z * c);
    // A quarter turn takes (c, s) to (-s, c).
    const Words odd = (turns & 1) != 0;
    Doubles re = odd ? s : c, im = odd ? c : s;
    re = ((turns + 1) & 2) != 0 ? -re : re;
    im = (turns & 2) != 0 ? -im : im;
    // Exact where the result is 1, i, -1 or -i: what rounding of the angle leaves is nothing.
    const Doubles size = x < 0 ? -x : x, least = 1e-16 * (one + (size < tile::widest_multiple ? size : widest));
    const Words flat = (im < 0 ? -im : im) < least, steep = (re < 0 ? -re : re) < least;
    re = flat ? (re < 0 ? -one : one) : steep ? zero : re;
    im = flat ? zero : steep ? (im < 0 ? -one : one) : im;
    Doubles a, b;
    interleave.join(re, im, a, b);
    store(result + 2 * k, a);
    store(result + 2 * k + E<double>, b);
  }
}

}  // namespace tile_kernels
}  // namespace
}  // namespace qsim::cpu::QSIM_ISA
