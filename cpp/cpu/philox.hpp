// Random numbers by position: Philox 4x64-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC'11).
#pragma once

#include "qsim/types.hpp"

namespace qsim::cpu {

struct Philox {
  Bits key[2];
  Bits site, visit;

  // In [0, 1), a function of key, site, visit and shot: what qsim_core.random.RandomSource.uniforms gives.
  [[nodiscard]] double uniform(Bits shot) const {
    Bits counter[4] = {shot + 1, site, visit, 0};  // NumPy's generator counts up before it generates
    counter[1] += counter[0] == 0 ? 1 : 0;
    Bits k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; ++round) {
      const Wide p0 = Wide{counter[0]} * 0xD2E7470EE14C6C93U, p1 = Wide{counter[2]} * 0xCA5A826395121157U;
      const Bits high0 = static_cast<Bits>(p0 >> 64), high1 = static_cast<Bits>(p1 >> 64);
      counter[0] = high1 ^ counter[1] ^ k0, counter[1] = static_cast<Bits>(p1);
      counter[2] = high0 ^ counter[3] ^ k1, counter[3] = static_cast<Bits>(p0);
      k0 += 0x9E3779B97F4A7C15U, k1 += 0xBB67AE8584CAA73BU;
    }
    return static_cast<double>(counter[0] >> 11) * 0x1p-53;
  }

 private:
  __extension__ using Wide = unsigned __int128;
};

}  // namespace qsim::cpu
