#include "binomial.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace qsim::cpu {
namespace {

constexpr double most_by_inversion = 10;  // expected successes: a step of inversion for each
constexpr double negligible = 0x1p-80;    // a probability that no number in [0, 1) resolves

// Adds up the probabilities of 0, 1, 2, ... until they pass a number.
Index by_inversion(Draws& draws, Index trials, double p) {
  const double odds = p / (1 - p), scale = static_cast<double>(trials + 1) * odds;
  double probability = std::exp(static_cast<double>(trials) * std::log1p(-p)), rest = draws.next();
  Index successes = 0;
  while (rest >= probability && successes < trials && probability > negligible) {
    rest -= probability;
    ++successes;
    probability *= scale / static_cast<double>(successes) - odds;
  }
  return successes;
}

// log(k!) less Stirling's formula for it.
double stirling_rest(double k) {
  constexpr double few[] = {0.08106146679532726,  0.04134069595540929, 0.02767792568499834, 0.02079067210376509,
                            0.01664469118982119,  0.01387612882307075, 0.01189670994589177, 0.01041126526197209,
                            0.009255462182712733, 0.008330563433362871};
  if (k <= 9) return few[static_cast<int>(k)];
  const double square = (k + 1) * (k + 1);
  return (1.0 / 12 - (1.0 / 360 - 1.0 / 1260 / square) / square) / (k + 1);
}

Index by_rejection(Draws& draws, Index trials, double p) {
  const double n = static_cast<double>(trials), deviation = std::sqrt(n * p * (1 - p));
  const double b = 1.15 + 2.53 * deviation, a = -0.0873 + 0.0248 * b + 0.01 * p, centre = n * p + 0.5;
  const double odds = p / (1 - p), mode = std::floor((n + 1) * p);
  for (;;) {
    const double u = draws.next() - 0.5, v = draws.next(), edge = 0.5 - std::abs(u);
    const double k = std::floor((2 * a / edge + b) * u + centre);
    if (!(k >= 0 && k <= n)) continue;
    if (edge >= 0.07 && v <= 0.92 - 4.2 / b) return static_cast<Index>(k);
    const double height = std::log(v * (2.83 + 5.1 / b) * deviation / (a / (edge * edge) + b));
    const double bound = (mode + 0.5) * std::log((mode + 1) / (odds * (n - mode + 1))) +
                         (n + 1) * std::log((n - mode + 1) / (n - k + 1)) +
                         (k + 0.5) * std::log(odds * (n - k + 1) / (k + 1)) + stirling_rest(mode) +
                         stirling_rest(n - mode) - stirling_rest(k) - stirling_rest(n - k);
    if (height <= bound) return static_cast<Index>(k);
  }
}

}  // namespace

Index binomial(Draws& draws, Index trials, double yes, double no) {
  if (trials == 0 || yes <= 0) return 0;
  if (no <= 0) return trials;
  const double p = std::min(yes, no) / (yes + no);
  const bool rare = static_cast<double>(trials) * p < most_by_inversion;
  const Index successes = rare ? by_inversion(draws, trials, p) : by_rejection(draws, trials, p);
  return yes <= no ? successes : trials - successes;
}

void multinomial(Draws& draws, const double* weights, Index size, Index trials, Index* result) {
  std::vector<double> after(static_cast<std::size_t>(size));  // weight of the outcomes behind each
  for (Index i = size - 1; i > 0; --i)
    after[static_cast<std::size_t>(i - 1)] = after[static_cast<std::size_t>(i)] + weights[i];
  for (Index i = 0; i < size; ++i)
    trials -= result[i] = binomial(draws, trials, weights[i], after[static_cast<std::size_t>(i)]);
}

}  // namespace qsim::cpu
