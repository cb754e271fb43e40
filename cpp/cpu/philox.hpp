// Random numbers by position: Philox 4x64-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC'11).
#pragma once

#include <array>

#include "qsim/types.hpp"

namespace qsim::cpu {

struct Philox {
  Bits key[2];
  Bits site, visit;
  Bits purpose = 0;  // 0: numbers of shots, 1: how many shots fall into each part of a distribution

  static constexpr int words_per_block = 4;

  // Words 4 block, ... 4 block + 3 of the stream of this site, visit and purpose.
  [[nodiscard]] std::array<Bits, words_per_block> words(Bits block) const {
    std::array<Bits, words_per_block> counter = {block + 1, site, visit, purpose};  // NumPy's counts up first
    counter[1] += counter[0] == 0 ? 1 : 0;
    Bits k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; ++round) {
      const Wide p0 = Wide{counter[0]} * 0xD2E7470EE14C6C93U, p1 = Wide{counter[2]} * 0xCA5A826395121157U;
      const Bits high0 = static_cast<Bits>(p0 >> 64), high1 = static_cast<Bits>(p1 >> 64);
      counter = {high1 ^ counter[1] ^ k0, static_cast<Bits>(p1), high0 ^ counter[3] ^ k1, static_cast<Bits>(p0)};
      k0 += 0x9E3779B97F4A7C15U, k1 += 0xBB67AE8584CAA73BU;
    }
    return counter;
  }

  // A word as a number in [0, 1).
  static double unit(Bits word) { return static_cast<double>(word >> 11) * 0x1p-53; }

 private:
  __extension__ using Wide = unsigned __int128;
};

}  // namespace qsim::cpu
