// The operations of a tile pass in normal form: layers of [moves, diagonal, rotations, blocks], and what is left for
// the next pass.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "qsim/ops.hpp"
#include "tile_pair.hpp"

namespace qsim::cpu::tile {

constexpr int max_tile_bits = 24;

// Multiplies the amplitudes whose index has the bits `value` on `mask`.
struct Term {
  Bits mask;
  Bits value;
  Complex factor;
};

// Multiplies by `even` or `odd`: the parity of the index bits in `mask`.
struct ParityTerm {
  Bits mask;
  Complex even;
  Complex odd;
};

// An angle in radians and what an operation makes of it: e^(i angle) a phase, e^(i angle / 2) a rotation.
struct Angle {
  double radians = 0;
  Complex unit{1, 0};
};

// What follows: `layer` is its place; positions count bits of the tile index; `outer` conditions are on the tile.
struct Edge {  // both bits one
  int layer, low, high;
  Complex factor;
};

struct Coupling {  // the bit at `position` one, in tiles that match
  int layer, position;
  Bits outer_mask, outer_value;
  Complex factor;
};

struct Mark {  // three or more bits
  int layer;
  Bits mask, value;
  Bits outer_mask, outer_value;
  Complex factor;
};

struct ParityMark {
  int layer;
  Bits mask, outer_mask;
  Complex even, odd;
};

struct Move {  // CX between vector positions
  int layer, control, target;
};

struct Rotation {
  int layer, position;
  double tangent, scale;
};

// A dense matrix, on more than two positions all of them vector positions; or, on two vector positions, one that mixes
// only the states `rows`; or X under controls; or the exchange of a lane position with a vector position; or what a
// Pair leaves of a matrix.
struct Dense {
  enum Kind : std::uint8_t { full, pair, flipped, exchanged, reduced };
  Kind kind;
  int layer;
  int num_targets;
  std::array<int, 6> targets;
  std::array<Bits, 2> rows;
  Bits control_mask, control_value;
  Bits outer_mask, outer_value;
  std::size_t matrix;  // first element in Layers::matrices; in Layers::pairs
};

// Slopes, Im<bra|P|ket> of two states that run through the same layers: of x X + y Y at one position, read after the
// rotations of the layer.
struct Probe {
  int layer, position;
  double x, y;
  Index output;
};

// Of `weight` times Z on every bit of the masks, read between the moves and the diagonal of the layer.
struct ParityProbe {
  int layer;
  Bits mask, outer_mask;
  double weight;
  Index output;
};

struct Layers {
  int bits = 0;
  int num_layers = 0;
  std::vector<std::array<Complex, max_tile_bits>> linear;
  std::vector<Edge> edges;
  std::vector<Coupling> couplings;
  std::vector<Mark> marks;
  std::vector<ParityMark> parity_marks;
  std::vector<Move> moves;
  std::vector<Rotation> rotations;
  std::vector<Dense> blocks;
  std::vector<Complex> matrices;
  std::vector<Pair> pairs;
  std::vector<Probe> probes;
  std::vector<ParityProbe> parity_probes;
  // Factors of a whole tile.
  Complex constant{1, 0};
  std::vector<Term> phases;
  std::vector<ParityTerm> parity_phases;
  // At the end, index bit q of the state is tile position source[rank of q], the tile index XOR flips.
  std::array<int, max_tile_bits> source{};
  Bits flips = 0;

  void clear(int tile_bits);

  // Nothing for the tiles to do.
  [[nodiscard]] bool idle() const;
};

// Qubits that an operation mixes, and that must be local therefore: targets, but not those it is diagonal in.
Bits mixed_qubits(const Op& op, const Operand* operand);

// Whether Binder::add does the operation in any tile, whatever its values.
bool is_sure(const Op& op);

// Whether Binder::probe can read the slope of an operation with an angle.
bool can_probe(const Op& op);

// Reads operations in order. Between operations the state is, in slots (bits of the index as it lies in memory),
//     product of pending(slot) . X^frame . pending terms . what the layers do.
// Diagonal terms wait until a rotation must come after them, one-qubit gates until a diagonal must.
class Binder {
 public:
  explicit Binder(int num_qubits) { restart(num_qubits); }

  // As new, with the memory it has.
  void restart(int num_qubits);

  // The tiles of the next pass: `local` qubits at ascending positions, `lane_bits` of them lanes.
  void begin(Bits local, int lane_bits);

  // False when the engine can't do the operation; nothing has changed then.
  bool add(const Op& op, const Angle& angle, const Operand* operand);

  // Read, before the operation that follows, d/d(angle) of <bra|...|ket> if it undoes `op`: result `output` of the
  // probes is 2 Im<bra|G|ket>, where `op` is exp(-i angle G). See tile_probes.cpp.
  void probe(const Op& op, Index output);

  // End the pass. What can wait for a later one waits, unless `last`; gates on the qubits `keeping` can.
  void finish(bool last, Bits keeping);

  Layers layers;

 private:
  // A matrix; or while it is one, rotations about Z, Y or X and Z, of which that in the middle is all it needs.
  struct Pending {
    Matrix matrix;
    Euler euler;
    enum : std::uint8_t { identity, diagonal, rotated, general } kind = identity;

    [[nodiscard]] Matrix whole() const {
      return kind == identity ? Matrix{} : kind == rotated ? matrix_of(euler) : matrix;
    }
  };

  void multiply(int slot, const Matrix& matrix, bool diagonal);
  void rotate(int slot, int letter, Complex half);
  void make_diagonal(int slot);
  void flush(int slot);
  void settle_sign(int slot);
  bool put_before(int position);
  void settle(Bits slots);
  void place(const Term& term);
  void place(const ParityTerm& term);
  void add_term(Bits qubits, Bits value, Complex factor);
  void controlled(const Matrix& matrix, int qubit, Bits control_mask, Bits control_value);
  void swap(int a, int b);
  [[nodiscard]] bool rotates(int slot) const;
  [[nodiscard]] bool undone(int slot) const;
  [[nodiscard]] bool can_move(int control, int target) const;
  void move(int control, bool value, int target);
  void flip(int target, Bits control_mask, Bits control_value);
  void exchange(int lane, int vector, int layer);
  bool rotation(const Op& op, const Angle& angle, Bits control_mask, Bits control_value);
  bool hold(const Op& op, const Angle& angle);
  void release(Bits qubits);
  bool diagonal(const Op& op, const std::complex<double>* numbers, Index stride, Bits control_mask, Bits control_value);
  bool permutation(const Op& op, const Operand& operand, Bits control_mask, Bits control_value);
  bool conserving(const Op& op, Complex* matrix);
  void targets_to_vectors(const Op& op);
  void add_controls(Dense& block, Bits control_mask, Bits control_value);
  void place(Dense block, Bits slots, const Complex* matrix, Bits flips);
  bool matrix(const Op& op, const Operand& operand, Bits control_mask, Bits control_value);
  bool dense(const Op& op, Complex* matrix, Bits control_mask, Bits control_value);
  int diagonal_layer(Bits positions);
  int open_layer(int layer);
  bool joins_block(const Op& op, const Angle& angle);
  void change_basis(const Op& op, bool back);
  void place(const ParityProbe& probe);
  void probe_parity(Bits targets, Bits control_mask, Bits control_value, double weight, Index output);
  void probe_z(Bits slots, double weight, Index output);
  void turn_probes(int slot, Complex before, double tangent);
  void resolve(int slot);
  void carry_probes(const std::array<int, 64>& home);
  [[nodiscard]] Bits to_positions(Bits slots) const;

  int num_qubits_ = 0;
  int lane_bits_ = 0;
  Bits local_ = 0;
  Bits frame_ = 0;                  // slots
  std::array<int, 64> slot_{};      // of each qubit
  std::array<int, 64> position_{};  // of each slot
  std::array<int, max_tile_bits> slot_at_{};
  std::array<Pending, 64> pending_{};  // of each slot
  // XX or YY rotations that may meet their other half: with equal angles they conserve excitations.
  struct Held {
    Op op;
    Angle angle;
    Bits qubits;
  };
  std::vector<Held> held_;
  std::vector<Complex> numbers_;  // of the matrix at hand
  std::vector<Term> terms_;
  std::vector<ParityTerm> parities_;
  Bits waiting_ = 0;       // slots of terms_ and parities_
  Complex carried_{1, 0};  // constant factor of earlier passes
  // Probes that wait: of one slot, as seen below what is pending there; and of parities, as terms_ wait.
  struct SlotProbe {
    int slot;
    double x, y, z;
    Index output;
  };
  std::vector<SlotProbe> slot_probes_;
  std::vector<ParityProbe> parity_probes_;
  // First layer, per position, in which a diagonal, a rotation, a block or a probe of X or Y can still go; a move onto
  // the position; a move that it controls.
  struct Free {
    int diagonal, rotation, block, start, control;
  };
  static Free after_block(int layer);
  static constexpr std::size_t none = ~std::size_t{0};
  std::array<Free, max_tile_bits> free_{};
  std::vector<bool> has_diagonal_;  // each layer, beside phases before its rotations
  // Of each position, in layers.rotations and layers.blocks: if nothing came after it but what Z commutes with. Blocks
  // are those of what is at the position now, wherever it was.
  std::array<std::size_t, max_tile_bits> last_rotation_{}, last_block_{};
};

}  // namespace qsim::cpu::tile
