#include "tile_pair.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

// Two matrices differ by one-qubit gates on the left, or by these and a SWAP, if and only if K = U^T (Y x Y) U is the
// same for both, since A^T Y A = det(A) Y. So it is enough to find a cheap V with V^T (Y x Y) V = K (Makhlin, Quantum
// Inf. Process. 1, 243 (2002), has K in another basis). With blocks of K by c, Takagi's factorization makes K00
// diagonal, F0^T K00 F0, F0 = diag(1, e^(i a)) . rotation, and unitarity leaves a diagonal of K11 and an antidiagonal
// of K01 when F1 is chosen alike: what is left mixes (0, c) with (1, 1 - c) only.

namespace qsim::cpu::tile {
namespace {

constexpr double tolerated = 2e-14;  // of an element of the product
constexpr double tiny = 1e-150;

Complex phase_of(Complex a) {
  const double r = size(a);
  return r > tiny ? (1 / r) * a : Complex{1, 0};
}

// diag(1, phase) . (c, -s; s, c)
struct Basis {
  Complex phase{1, 0};
  double c = 1, s = 0;
};

Matrix matrix_of(const Basis& b) {
  return {{b.c, 0}, {-b.s, 0}, b.s * b.phase, b.c * b.phase};
}

// Makes a symmetric matrix (a, b; b, d) diagonal from both sides, transposed on the left.
Basis takagi(Complex a, Complex b, Complex d) {
  Basis basis;
  basis.phase = phase_of(conj(b) * a + b * conj(d));
  const Complex off = 2 * (basis.phase * b), difference = a - basis.phase * basis.phase * d;  // a real ratio
  const Complex unit = phase_of(square(off) > square(difference) ? off : difference);
  double y = (off * conj(unit)).re, x = (difference * conj(unit)).re;
  if (x < 0) x = -x, y = -y;
  const double angle = std::atan2(y, x) / 2;
  basis.c = std::cos(angle), basis.s = std::sin(angle);
  return basis;
}

Matrix transposed(const Matrix& m) {
  return {m.m00, m.m10, m.m01, m.m11};
}

// Rotation . diag(g0, g1), by an angle of at most a half right one, that makes `sign` X the symmetric unitary
// (b0, b1; b1, b2).
struct Crossing {
  double angle;
  Complex g0, g1;
};

Crossing crossing_of(Complex b0, Complex b1, Complex b2, double sign) {
  const double straight = size(b1), bent = size(b0);
  Crossing result{std::atan2(bent, straight) / 2, {1, 0}, {1, 0}};
  result.g0 = square_root(sign * phase_of(b0));
  if (straight >= bent) {
    result.g1 = sign * (phase_of(b1) * conj(result.g0));
  } else {
    result.g1 = square_root(-sign * phase_of(b2));
    if (sign * (b1 * conj(result.g0 * result.g1)).re < 0) result.g1 = -result.g1;
  }
  return result;
}

// What the index of (p, c) is.
struct Order {
  int axis;
  [[nodiscard]] int operator()(int p, int c) const { return p << axis | c << (1 - axis); }
};

// Everything but the one-qubit gates.
void apply(const Pair& pair, Complex* v) {
  const Order at{pair.axis};
  for (int e = 0; e < 4; ++e) v[e] = pair.before[e] * v[e];
  const auto rotate = [](Complex& a, Complex& b, double t) {
    const Complex old = a;
    a = a - t * b;
    b = b + t * old;
  };
  for (int c = 0; c < 2; ++c) {
    rotate(v[at(0, c)], v[at(1, c)], pair.rotation[c]);
    v[at(1, c)] = pair.between[c] * v[at(1, c)];
  }
  for (int c = 0; c < 2; ++c) rotate(v[at(0, c)], v[at(1, 1 - c)], pair.crossing[c]);
}

// left = second x first up to rounding? Target 1 is the high bit.
bool factor(const Complex* left, Matrix& first, Matrix& second) {
  const auto block = [&](int i, int j) {
    const Complex* m = left + 8 * i + 2 * j;
    return Matrix{m[0], m[1], m[4], m[5]};
  };
  const auto norm = [](const Matrix& m) { return square(m.m00) + square(m.m01) + square(m.m10) + square(m.m11); };
  first = norm(block(0, 0)) >= norm(block(0, 1)) ? block(0, 0) : block(0, 1);
  const double scale = std::sqrt(2 / norm(first));
  for (Complex* e : {&first.m00, &first.m01, &first.m10, &first.m11}) *e = scale * *e;
  const auto share = [&](const Matrix& m) {
    const Matrix product = adjoint(first) * m;
    return 0.5 * (product.m00 + product.m11);
  };
  second = {share(block(0, 0)), share(block(0, 1)), share(block(1, 0)), share(block(1, 1))};
  // What it was multiplied by is an inverse but for its rounding, whose square is in the length: taken out here, it
  // doesn't add up over many gates.
  const double rest = 2 / norm(second);
  for (Complex* e : {&second.m00, &second.m01, &second.m10, &second.m11}) *e = rest * *e;
  return std::abs(rest - 1) < 1e-6;
}

// left = matrix . (what `apply` does)^-1, split in one-qubit gates.
bool split(const Complex* matrix, Pair& pair) {
  Complex inner[16], left[16];  // columns of the one, rows of the other
  for (int c = 0; c < 4; ++c) {
    Complex* column = inner + 4 * c;
    std::fill_n(column, 4, Complex{});
    column[c] = {1, 0};
    apply(pair, column);
  }
  for (int r = 0; r < 4; ++r)
    for (int s = 0; s < 4; ++s) {
      Complex sum;
      for (int c = 0; c < 4; ++c) sum = sum + matrix[4 * r + c] * conj(inner[4 * c + s]);
      left[4 * r + s] = sum;
    }
  if (!factor(left, pair.after[0], pair.after[1])) return false;
  const Matrix &a = pair.after[0], &b = pair.after[1];
  const Complex first[2][2] = {{a.m00, a.m01}, {a.m10, a.m11}}, second[2][2] = {{b.m00, b.m01}, {b.m10, b.m11}};
  for (int r = 0; r < 4; ++r)
    for (int c = 0; c < 4; ++c) {
      Complex sum = -matrix[4 * r + c];
      for (int s = 0; s < 4; ++s) sum = sum + second[r >> 1][s >> 1] * first[r & 1][s & 1] * inner[4 * c + s];
      if (!(square(sum) <= tolerated * tolerated)) return false;
    }
  return true;
}

}  // namespace

bool pair_of(const Complex* matrix, int axis, Pair& pair) {
  const Order at{axis};
  constexpr double signs[4] = {-1, 1, 1, -1};  // of Y x Y, row r to column 3 - r
  const auto k = [&](int p, int c, int q, int d) {
    Complex sum;
    for (int r = 0; r < 4; ++r) sum = sum + signs[r] * (matrix[4 * r + at(p, c)] * matrix[4 * (3 - r) + at(q, d)]);
    return sum;
  };
  const Matrix k00{k(0, 0, 0, 0), k(0, 0, 1, 0), k(1, 0, 0, 0), k(1, 0, 1, 0)};
  const Matrix k01{k(0, 0, 0, 1), k(0, 0, 1, 1), k(1, 0, 0, 1), k(1, 0, 1, 1)};
  const Matrix k11{k(0, 1, 0, 1), k(0, 1, 1, 1), k(1, 1, 0, 1), k(1, 1, 1, 1)};
  Basis basis[2];
  basis[0] = takagi(k00.m00, k00.m01, k00.m11);
  const Matrix f0 = matrix_of(basis[0]);
  const Matrix rows = transposed(f0) * k01;  // antidiagonal . F1^-1: F1's columns, the longer row tells
  const double long0 = square(rows.m00) + square(rows.m01), long1 = square(rows.m10) + square(rows.m11);
  if (std::max(long0, long1) < 1e-6) {
    basis[1] = takagi(k11.m00, k11.m01, k11.m11);
  } else {
    // The first column is conj(second row), or orthogonal to the second, conj(first row).
    const Complex u = long1 >= long0 ? conj(rows.m10) : -rows.m01;
    const Complex v = long1 >= long0 ? conj(rows.m11) : rows.m00;
    const double length = std::sqrt(square(u) + square(v));
    basis[1] = {phase_of(v) * conj(phase_of(u)), size(u) / length, size(v) / length};
  }
  const Matrix f1 = matrix_of(basis[1]);
  const Matrix b00 = transposed(f0) * k00 * f0, b01 = transposed(f0) * k01 * f1, b11 = transposed(f1) * k11 * f1;
  Crossing crossing[2] = {crossing_of(b00.m00, b01.m01, b11.m11, -1), crossing_of(b11.m00, b01.m10, b00.m11, 1)};
  pair.axis = axis;
  // What is left of the matrix may have a SWAP: one of the crossings then goes the other way.
  for (const bool swapped : {false, true}) {
    if (swapped) {
      Crossing& wider = crossing[crossing[0].angle > crossing[1].angle ? 0 : 1];
      wider.angle = std::acos(0.0) - wider.angle;
      wider.g1 = -wider.g1;
    }
    double cosine[2];
    for (int c = 0; c < 2; ++c) {
      cosine[c] = std::cos(crossing[c].angle);
      pair.crossing[c] = std::sin(crossing[c].angle) / cosine[c];
      pair.rotation[c] = -basis[c].s / basis[c].c;
      if (!(std::max(std::abs(pair.crossing[c]), std::abs(pair.rotation[c])) <= widest_tangent)) return false;
    }
    const Complex common = conj(crossing[0].g0);
    for (int c = 0; c < 2; ++c) {
      const Crossing &own = crossing[c], &other = crossing[1 - c];
      const Complex scale = (basis[c].c * cosine[c]) * (common * own.g0);
      pair.before[at(0, c)] = scale;
      pair.before[at(1, c)] = scale * conj(basis[c].phase);
      pair.between[c] = (cosine[1 - c] / cosine[c]) * (other.g1 * conj(own.g0));
    }
    pair.before[0] = {basis[0].c * cosine[0], 0};
    if (split(matrix, pair)) return true;
  }
  return false;
}

}  // namespace qsim::cpu::tile
