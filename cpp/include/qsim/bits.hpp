// Bit arithmetic. Everything is `static`: a copy per translation unit, so that no symbol compiled for a wide
// instruction set can replace the one an older CPU runs.
#pragma once

#include "qsim/types.hpp"

namespace qsim {

static inline constexpr Bits bit(int position) {
  return Bits{1} << position;
}

static inline int lowest_bit(Bits bits) {
  return __builtin_ctzll(bits);
}

static inline int count_bits(Bits bits) {
  return __builtin_popcountll(bits);
}

// Whether one bit is set.
static inline bool is_single(Bits bits) {
  return bits != 0 && (bits & (bits - 1)) == 0;
}

static inline bool odd_parity(Bits bits) {
  return __builtin_parityll(bits) != 0;
}

// Insert a zero into `item` at the position of every set bit of `fixed`: item -> index with those bits free to set.
static inline Bits spread_around(Bits item, Bits fixed) {
  for (Bits rest = fixed; rest != 0; rest &= rest - 1) {
    const Bits low = (rest & (~rest + 1)) - 1;
    item = ((item & ~low) << 1) | (item & low);
  }
  return item;
}

// The position of bit `position` of an index in the item number it was spread from.
static inline int position_in_item(int position, Bits fixed) {
  return position - count_bits(fixed & (bit(position) - 1));
}

}  // namespace qsim
