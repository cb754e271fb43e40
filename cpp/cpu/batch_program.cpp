#include "batch_program.hpp"

#include <algorithm>
#include <cmath>

#include "qsim/bits.hpp"

namespace qsim::cpu::batch {

void Form::add(const Form& other, double factor) {
  constant += factor * other.constant;
  for (const auto& [slot, coefficient] : other.terms) {
    const std::int32_t wanted = slot;
    const auto same = std::find_if(terms.begin(), terms.end(), [&](const auto& term) { return term.first == wanted; });
    if (same == terms.end()) terms.emplace_back(slot, factor * coefficient);
    else same->second += factor * coefficient;
  }
}

namespace {

using Complex = std::complex<double>;

constexpr int widest_dense = 6;
constexpr std::size_t largest_program = std::size_t{1} << 28;  // bytes of lists and numbers
constexpr Index first_fixed = Index{1} << 40;  // fixed coefficients are numbered from here until the end

// Places whose parities with a mask have a value.
struct Condition {
  Entry mask;
  bool value;
  bool operator==(const Condition& other) const { return mask == other.mask && value == other.value; }
  bool operator<(const Condition& other) const { return mask != other.mask ? mask < other.mask : value < other.value; }
};
using Conditions = std::vector<Condition>;

bool holds(const Conditions& conditions, Index place) {
  return std::all_of(conditions.begin(), conditions.end(), [&](const Condition& condition) {
    return odd_parity(static_cast<Bits>(place) & condition.mask) == condition.value;
  });
}

bool odd(Entry a, Entry b) {
  return odd_parity(static_cast<Bits>(a & b));
}

class Compiler {
 public:
  Compiler(const Stage& stage, const Angles& angles, int num_qubits, int rotations, Program& program)
      : stage_(stage),
        angles_(angles),
        num_qubits_(num_qubits),
        size_(Index{1} << num_qubits),
        max_rotations_(rotations),
        program_(program) {
    for (int q = 0; q < num_qubits; ++q) x_[q] = z_[q] = static_cast<Entry>(1U << q);
    program.num_qubits = num_qubits;
  }

  bool add(const Op& op) {
    switch (op.kind) {
      case OpKind::rotation: rotation(op); return true;
      case OpKind::phase: diagonal(controls_of(op), angle(op.data), 1); return true;
      case OpKind::dense: return dense(op);
      case OpKind::diagonal: fixed_diagonal(op); return true;
      case OpKind::permutation: permutation(op); return true;
      case OpKind::initialize: return false;
    }
    return false;
  }

  void finish(const std::vector<PauliTerm>& terms, bool states) {
    const bool phases =
        states || std::any_of(terms.begin(), terms.end(), [](const PauliTerm& term) { return term.x != 0; });
    if (phases) flush();
    else close();
    program_.place.resize(static_cast<std::size_t>(size_));
    for (Index l = 0; l < size_; ++l) program_.place[static_cast<std::size_t>(l)] = place_of(static_cast<Bits>(l));
    if (states) {
      if (global_.terms.empty()) program_.constant *= std::polar(1.0, global_.constant);
      else program_.phase = coefficient_of(global_);
    }
    for (const PauliTerm& term : terms) add_term(term);
    for (Weights& weights : program_.weights) finish_weights(weights);
    const auto num_forms = static_cast<Index>(program_.forms.size());
    const auto settle = [&](Index& coefficient) {
      if (coefficient >= first_fixed) coefficient += num_forms - first_fixed;
    };
    for (Step& step : program_.steps)
      for (Rotation& rotation : step.rotations) settle(rotation.coefficient);
  }

 private:
  // --- operations -----------------------------------------------------------------------------------------------

  void rotation(const Op& op) {
    Bits x = 0, z = 0;
    for (int k = 0; k < op.num_targets; ++k) {
      const int letter = op.target_tags[k];  // X 1, Y 2, Z 3
      if (letter != 3) x |= bit(op.targets[k]);
      if (letter != 1) z |= bit(op.targets[k]);
    }
    Conditions conditions = controls_of(op);
    Form form = angle(op.data);
    const Entry zs = combine(z_, z);
    const bool flipped = odd_parity(flip_ & z);
    if (x == 0) {  // e^(-i angle / 2), and where the parity is odd e^(i angle) more
      diagonal(conditions, form, -0.5);
      if (op.num_targets == 0) return;
      conditions.push_back({zs, !flipped});
      diagonal(conditions, form, 1);
      return;
    }
    Form half;
    half.add(form, 0.5);
    Rotation turn;
    turn.x = combine(x_, x);
    turn.coefficient = coefficient_of(half);
    // a[i] becomes c a[i] - i s i^y (-1)^parity(l ^ x, z) a[i ^ x]
    const int y = count_bits(x & z) & 3;
    turn.imaginary = (y & 1) == 0;
    if (op.num_targets == 1) {
      turn.selector = z_[op.targets[0]];
      turn.value = (flip_ >> op.targets[0] & 1) != 0;
    } else if (!turn.imaginary) {
      turn.selector = zs;
      turn.value = flipped != (y == 3);
    } else {
      turn.selector = static_cast<Entry>(bit(63 - __builtin_clzll(turn.x)));
      if (zs != 0) {
        turn.negative = (y == 2) == flipped;  // where the parity with zs is odd
        conditions.push_back({zs, true});
        rotate(turn, conditions);
        conditions.back().value = false;
      }
      turn.negative = (y == 2) != flipped;
    }
    rotate(turn, conditions);
  }

  bool dense(const Op& op) {
    const Operand& operand = stage_.operands[op.data];
    Conditions conditions = controls_of(op);
    if (op.num_targets == 1) {
      one_qubit(op, operand.numbers, conditions);
      return true;
    }
    if (op.num_targets > widest_dense) return false;
    flush();
    Step step;
    step.kind = Step::Kind::dense;
    for (int k = 0; k < op.num_targets; ++k)
      conditions.push_back({z_[op.targets[k]], (flip_ >> op.targets[k] & 1) != 0});
    step.bases = places(conditions);
    for (Index row = 0; row < Index{1} << op.num_targets; ++row) {
      Entry offset = 0;
      for (int k = 0; k < op.num_targets; ++k)
        if ((row >> k & 1) != 0) offset ^= x_[op.targets[k]];
      step.offset.push_back(offset);
    }
    step.operand = op.data;
    program_.dense_rows = std::max(program_.dense_rows, Index{1} << op.num_targets);
    program_.steps.push_back(std::move(step));
    return true;
  }

  // u = (phase . diag(1, after)) (c, -s; s, c) diag(1, before)
  void one_qubit(const Op& op, const Complex* u, const Conditions& conditions) {
    const int q = op.targets[0];
    const double c = std::abs(u[0]), s = std::abs(u[2]);
    const auto unit = [](Complex value) { return value / std::abs(value); };
    Complex phase = 1, before = 1, after = 1;
    if (s == 0) {
      phase = unit(u[0]), after = unit(u[3]) / phase;
    } else if (c == 0) {
      phase = unit(u[2]), before = -unit(u[1]) / phase;
    } else {
      phase = unit(u[0]), after = unit(u[2]) / phase, before = -unit(u[1]) / phase;
    }
    const auto where_one = [&](bool one) {
      Conditions all = conditions;
      all.push_back({z_[q], ((flip_ >> q & 1) != 0) != one});
      return all;
    };
    if (before != 1.0) multiply(where_one(true), before);
    if (c == 0 && conditions.size() <= 1) {
      std::vector<Bits> moved{1, 0};
      if (!conditions.empty())
        moved = op.control_values[0] != 0 ? std::vector<Bits>{0, 1, 3, 2} : std::vector<Bits>{1, 0, 2, 3};
      std::vector<int> wires{q};
      if (!conditions.empty()) wires.push_back(op.controls[0]);
      relabel(wires, moved);
      multiply(where_one(false), -1);
    } else if (s != 0) {
      Rotation turn;
      turn.x = x_[q];
      turn.coefficient = first_fixed + static_cast<Index>(program_.fixed.size());
      program_.fixed.emplace_back(c, s);
      turn.selector = z_[q];
      turn.value = (flip_ >> q & 1) != 0;
      rotate(turn, conditions);
    }
    if (after != 1.0) multiply(where_one(true), after);
    if (phase != 1.0) multiply(conditions, phase);
  }

  void fixed_diagonal(const Op& op) {
    const Complex* entries = stage_.operands[op.data].numbers;
    const Conditions conditions = controls_of(op);
    std::vector<Complex>& numbers = fixed_numbers(conditions);
    for (int k = 0; k < op.num_targets; ++k) depend_on(z_[op.targets[k]]);
    for (Index i = 0; i < size_; ++i)
      if (holds(conditions, i))
        numbers[static_cast<std::size_t>(i)] *= entries[value_at(i, op.targets, op.num_targets)];
  }

  void permutation(const Op& op) {
    const std::int64_t* table = stage_.operands[op.data].table;
    const int wires = op.num_targets + op.num_controls;
    Bits wanted = 0;
    for (int c = 0; c < op.num_controls; ++c)
      if (op.control_values[c] != 0) wanted |= bit(c);
    const Bits targets = bit(op.num_targets) - 1;
    const auto moved = [&](Bits value) {
      return value >> op.num_targets == wanted ? static_cast<Bits>(table[value & targets]) | (value & ~targets) : value;
    };
    bool affine = true;
    for (Bits value = 1; affine && value < bit(wires); ++value) {
      const Bits rest = value & (value - 1);  // without its lowest bit
      affine = rest == 0 || moved(value) == (moved(rest) ^ moved(value ^ rest) ^ moved(0));
    }
    std::vector<int> qubits(op.targets, op.targets + op.num_targets);
    qubits.insert(qubits.end(), op.controls, op.controls + op.num_controls);
    if (affine) {
      std::vector<Bits> all;
      for (Bits value = 0; value < bit(wires); ++value) all.push_back(moved(value));
      relabel(qubits, all);
      return;
    }
    flush();
    std::vector<Entry> source(static_cast<std::size_t>(size_));
    for (Index i = 0; i < size_; ++i) {
      const Bits from = value_at(i, qubits.data(), wires), change = from ^ moved(from);
      Entry to = static_cast<Entry>(i);
      for (int w = 0; w < wires; ++w)
        if ((change >> w & 1) != 0) to = static_cast<Entry>(to ^ x_[qubits[static_cast<std::size_t>(w)]]);
      source[to] = static_cast<Entry>(i);
    }
    Step step;
    step.kind = Step::Kind::gather;
    step.bases = store(source);
    program_.gathers = true;
    program_.steps.push_back(std::move(step));
  }

  // --- the frame ------------------------------------------------------------------------------------------------

  // The affine permutation of values of `wires`, given as a table: l' = M l ^ moved[0].
  void relabel(const std::vector<int>& wires, const std::vector<Bits>& moved) {
    const std::size_t count = wires.size();
    std::vector<Entry> old_z, old_x;
    Bits old_flip = 0;
    for (std::size_t k = 0; k < count; ++k) {
      old_z.push_back(z_[wires[k]]), old_x.push_back(x_[wires[k]]);
      if ((flip_ >> wires[k] & 1) != 0) old_flip |= bit(static_cast<int>(k));
    }
    Bits new_flip = moved[0];
    for (std::size_t k = 0; k < count; ++k) z_[wires[k]] = x_[wires[k]] = 0;
    for (std::size_t j = 0; j < count; ++j) {
      const Bits column = moved[std::size_t{1} << j] ^ moved[0];
      if ((old_flip >> j & 1) != 0) new_flip ^= column;
      for (std::size_t k = 0; k < count; ++k)
        if ((column >> k & 1) != 0) z_[wires[k]] = static_cast<Entry>(z_[wires[k]] ^ old_z[j]);
    }
    for (std::size_t from = 0; from < moved.size(); ++from) {  // the value whose image under M is a single bit
      const Bits image = moved[from] ^ moved[0];
      if (count_bits(image) != 1) continue;
      Entry& x = x_[wires[static_cast<std::size_t>(lowest_bit(image))]];
      for (std::size_t j = 0; j < count; ++j)
        if ((from >> j & 1) != 0) x = static_cast<Entry>(x ^ old_x[j]);
    }
    for (std::size_t k = 0; k < count; ++k) {
      flip_ &= ~bit(wires[k]);
      if ((new_flip >> k & 1) != 0) flip_ |= bit(wires[k]);
    }
  }

  Entry combine(const Entry* masks, Bits qubits) const {
    Entry result = 0;
    for (Bits rest = qubits; rest != 0; rest &= rest - 1) result = static_cast<Entry>(result ^ masks[lowest_bit(rest)]);
    return result;
  }

  Entry place_of(Bits logical) const { return combine(x_, logical ^ flip_); }

  template <class Int>
  Index value_at(Index place, const Int* qubits, int count) const {
    Index value = 0;
    for (int k = 0; k < count; ++k) {
      const bool one = odd_parity(static_cast<Bits>(place) & z_[qubits[k]]) != ((flip_ >> qubits[k] & 1) != 0);
      if (one) value |= Index{1} << k;
    }
    return value;
  }

  Conditions controls_of(const Op& op) const {
    Conditions conditions;
    for (int c = 0; c < op.num_controls; ++c)
      conditions.push_back({z_[op.controls[c]], (op.control_values[c] != 0) != ((flip_ >> op.controls[c] & 1) != 0)});
    return conditions;
  }

  // --- diagonals that wait --------------------------------------------------------------------------------------

  struct Term {
    Conditions conditions;
    Form form;
  };

  void diagonal(Conditions conditions, const Form& form, double factor) {
    if (conditions.empty()) {
      global_.add(form, factor);
      return;
    }
    if (form.terms.empty()) {
      multiply(conditions, std::polar(1.0, factor * form.constant));
      return;
    }
    if (conditions.size() == 1 && !conditions[0].value) {  // everywhere, and back where the parity is odd
      global_.add(form, factor);
      conditions[0].value = true;
      factor = -factor;
    }
    std::sort(conditions.begin(), conditions.end());
    auto same = std::find_if(terms_.begin(), terms_.end(), [&](const Term& t) { return t.conditions == conditions; });
    if (same == terms_.end()) same = terms_.insert(terms_.end(), {conditions, {}});
    same->form.add(form, factor);
    for (const Condition& condition : conditions) depend_on(condition.mask);
  }

  void multiply(const Conditions& conditions, Complex value) {
    if (conditions.empty()) {
      program_.constant *= value;
      return;
    }
    std::vector<Complex>& numbers = fixed_numbers(conditions);
    for (Index i = 0; i < size_; ++i)
      if (holds(conditions, i)) numbers[static_cast<std::size_t>(i)] *= value;
  }

  std::vector<Complex>& fixed_numbers(const Conditions& conditions) {
    for (const Condition& condition : conditions) depend_on(condition.mask);
    if (numbers_.empty()) numbers_.assign(static_cast<std::size_t>(size_), Complex{1, 0});
    return numbers_;
  }

  void depend_on(Entry mask) {
    if (std::find(masks_.begin(), masks_.end(), mask) == masks_.end()) masks_.push_back(mask);
  }

  // The diagonals that wait, as the beginning of a step.
  Step take_diagonal() {
    Step step;
    if (!numbers_.empty()) {
      step.numbers = static_cast<Index>(program_.numbers.size());
      program_.numbers.push_back(std::move(numbers_));
      numbers_.clear();
    }
    step.first_table = program_.tables.size();
    std::vector<std::vector<Entry>> bases;
    std::vector<std::vector<const Term*>> members;
    const std::size_t widest = static_cast<std::size_t>(num_qubits_ <= 6 ? num_qubits_ : (num_qubits_ + 1) / 2);
    for (const Term& term : terms_) {
      std::size_t chosen = 0;
      for (; chosen < bases.size(); ++chosen) {
        std::vector<Entry> extended = bases[chosen];
        for (const Condition& condition : term.conditions) extend(extended, condition.mask);
        if (extended.size() > widest) continue;
        bases[chosen] = extended;
        break;
      }
      if (chosen == bases.size()) {
        bases.emplace_back(), members.emplace_back();
        for (const Condition& condition : term.conditions) extend(bases.back(), condition.mask);
      }
      members[chosen].push_back(&term);
    }
    Index entries = 0;
    for (std::size_t t = 0; t < bases.size(); ++t) {
      add_table(bases[t], members[t]);
      entries += program_.tables.back().size;
    }
    step.last_table = program_.tables.size();
    program_.table_entries = std::max(program_.table_entries, entries);
    terms_.clear(), masks_.clear();
    return step;
  }

  static std::vector<Entry> span_of(const std::vector<Entry>& basis) {
    std::vector<Entry> span{0};
    for (const Entry mask : basis) {
      const std::size_t size = span.size();
      for (std::size_t i = 0; i < size; ++i) span.push_back(static_cast<Entry>(span[i] ^ mask));
    }
    return span;
  }

  static void extend(std::vector<Entry>& basis, Entry mask) {
    const std::vector<Entry> span = span_of(basis);
    if (std::find(span.begin(), span.end(), mask) == span.end()) basis.push_back(mask);
  }

  // Entry e of the table belongs to the places whose parity with basis[k] is bit k of e.
  void add_table(const std::vector<Entry>& basis, const std::vector<const Term*>& members) {
    const std::vector<Entry> span = span_of(basis);
    TableSpec table;
    table.size = static_cast<Index>(span.size());
    table.first_step = program_.table_steps.size();
    std::vector<Conditions> coordinates;  // of each member's conditions: masks of bits of e
    std::vector<int> level;               // the highest bit of e a member looks at
    for (const Term* term : members) {
      coordinates.emplace_back();
      Entry seen = 0;
      for (const Condition& condition : term->conditions) {
        const auto found = std::find(span.begin(), span.end(), condition.mask);
        const auto mask = static_cast<Entry>(found - span.begin());
        coordinates.back().push_back({mask, condition.value});
        seen = static_cast<Entry>(seen | mask);
      }
      level.push_back(seen == 0 ? 0 : 63 - __builtin_clzll(seen));
    }
    for (int k = 0; k < static_cast<int>(basis.size()); ++k) {
      const Entry half = static_cast<Entry>(1U << k);
      Index doubling = -1;
      std::vector<std::size_t> others;
      for (std::size_t m = 0; m < members.size(); ++m) {
        if (level[m] != k) continue;
        const Conditions& own = coordinates[m];
        if (own.size() == 1 && own[0].mask == half) doubling = coefficient_of(members[m]->form);
        else others.push_back(m);
      }
      std::vector<Entry> pairs;
      for (Entry e = 0; e < half; ++e) pairs.push_back(static_cast<Entry>(e | half)), pairs.push_back(e);
      program_.table_steps.push_back({store(pairs, 2), doubling});
      for (const std::size_t m : others) {
        pairs.clear();
        for (Entry e = 0; e < 2 * half; ++e)
          if (holds(coordinates[m], e)) pairs.push_back(e), pairs.push_back(e);
        program_.table_steps.push_back({store(pairs, 2), coefficient_of(members[m]->form)});
      }
    }
    table.last_step = program_.table_steps.size();
    std::vector<Entry> entry(static_cast<std::size_t>(size_));
    for (Index i = 0; i < size_; ++i)
      for (std::size_t k = 0; k < basis.size(); ++k)
        if (odd_parity(static_cast<Bits>(i) & basis[k]))
          entry[static_cast<std::size_t>(i)] = static_cast<Entry>(entry[static_cast<std::size_t>(i)] | 1U << k);
    table.entry = cached(entries_of_, basis, entry);
    program_.tables.push_back(table);
  }

  // --- rotations that wait --------------------------------------------------------------------------------------

  void rotate(const Rotation& turn, const Conditions& conditions) {
    const bool blocked = std::any_of(masks_.begin(), masks_.end(), [&](Entry mask) { return odd(mask, turn.x); });
    if (!conditions.empty()) {
      if (blocked) flush();
      else close();
      group_.rotations.push_back(turn);
      controls_ = conditions;
      open_ = true;
      close();
      return;
    }
    if (blocked || !joins(turn)) close();
    if (blocked) group_ = take_diagonal();
    group_.rotations.push_back(turn);
    open_ = true;
  }

  bool joins(const Rotation& turn) const {
    if (!open_) return true;
    if (static_cast<int>(group_.rotations.size()) >= max_rotations_) return false;
    return std::none_of(group_.rotations.begin(), group_.rotations.end(), [&](const Rotation& other) {
      return odd(turn.x, other.selector) || odd(other.x, turn.selector);
    });
  }

  void close() {
    if (!open_) return;
    Conditions conditions = controls_;
    for (const Rotation& turn : group_.rotations) conditions.push_back({turn.selector, turn.value});
    group_.bases = places(conditions);
    program_.steps.push_back(std::move(group_));
    group_ = Step{};
    controls_.clear();
    open_ = false;
  }

  void flush() {
    close();
    if (numbers_.empty() && terms_.empty()) return;
    group_ = take_diagonal();
    open_ = true;
    close();
  }

  // --- tables of numbers ----------------------------------------------------------------------------------------

  Form angle(Index index) const {
    Form form;
    form.constant = angles_.constant[index];
    for (Index j = angles_.offset[index]; j < angles_.offset[index + 1]; ++j)
      form.terms.emplace_back(static_cast<std::int32_t>(angles_.slot[j]), angles_.coefficient[j]);
    return form;
  }

  Index coefficient_of(const Form& form) {
    if (form.terms.empty()) {
      program_.fixed.push_back(std::polar(1.0, form.constant));
      return first_fixed + static_cast<Index>(program_.fixed.size()) - 1;
    }
    program_.forms.push_back(form);
    return static_cast<Index>(program_.forms.size()) - 1;
  }

  List store(const std::vector<Entry>& list, Index stride = 1) {
    const std::size_t first = program_.entries.size();
    program_.entries.insert(program_.entries.end(), list.begin(), list.end());
    return {first, static_cast<Index>(list.size()) / stride};
  }

  template <class Key>
  List cached(std::map<Key, List>& lists, const Key& key, const std::vector<Entry>& list) {
    const auto found = lists.find(key);
    return found != lists.end() ? found->second : lists[key] = store(list);
  }

  // The places where all conditions hold, ascending.
  List places(Conditions conditions) {
    std::sort(conditions.begin(), conditions.end());
    const auto found = places_.find(conditions);
    if (found != places_.end()) return found->second;
    std::vector<Entry> list;
    for (Index i = 0; i < size_; ++i)
      if (holds(conditions, i)) list.push_back(static_cast<Entry>(i));
    return places_[conditions] = store(list);
  }

  // --- expectation values ---------------------------------------------------------------------------------------

  // <P> = Re i^y sum of conj(a[i ^ x]) (-1)^parity(l & z) a[i]; term.entry holds the mask over places until the end.
  void add_term(const PauliTerm& term) {
    const int y = count_bits(term.x & term.z) & 3;
    const Bits x = combine(x_, term.x);
    const bool imaginary = (y & 1) != 0, minus = (y == 1 || y == 2) != odd_parity(flip_ & term.z);
    auto& all = program_.weights;
    auto found = std::find_if(all.begin(), all.end(),
                              [&](const Weights& weights) { return weights.x == x && weights.imaginary == imaginary; });
    if (found == all.end()) {
      found = all.insert(all.end(), Weights{});
      found->x = x, found->imaginary = imaginary;
    }
    found->terms.push_back({combine(z_, term.z), minus ? -term.coefficient : term.coefficient, term.column});
  }

  void finish_weights(Weights& weights) const {
    Bits used = 0;
    for (const Weights::Term& term : weights.terms) used |= static_cast<Bits>(term.entry);
    for (int q = num_qubits_ - 1; q >= 0; --q)
      if ((used >> q & 1) == 0) weights.folds.push_back(q);
    weights.transforms = count_bits(used);
    for (Weights::Term& term : weights.terms) {
      Index entry = 0;
      int to = 0;
      for (Bits rest = used; rest != 0; rest &= rest - 1, ++to)
        if ((term.entry >> lowest_bit(rest) & 1) != 0) entry |= Index{1} << to;
      term.entry = entry;
    }
  }

  const Stage& stage_;
  const Angles& angles_;
  int num_qubits_;
  Index size_;
  int max_rotations_;
  Program& program_;
  Entry x_[widest_group + 1] = {}, z_[widest_group + 1] = {};
  Bits flip_ = 0;
  std::vector<Term> terms_;
  std::vector<Complex> numbers_;
  std::vector<Entry> masks_;  // parities the waiting diagonals look at
  Form global_;
  Step group_;
  Conditions controls_;
  bool open_ = false;
  std::map<std::vector<Entry>, List> entries_of_;
  std::map<Conditions, List> places_;
};

}  // namespace

bool compile(const Stage& stage, const Angles& angles, int num_qubits, const std::vector<PauliTerm>& terms, bool states,
             int rotations, Program& program) {
  Compiler compiler(stage, angles, num_qubits, rotations, program);
  for (Index row = stage.begin; row < stage.end; ++row) {
    if (!compiler.add(unpack(stage.ops, row))) return false;
    const std::size_t bytes = program.entries.size() * sizeof(Entry) + (program.numbers.size() << (num_qubits + 4));
    if (bytes > largest_program) return false;
  }
  compiler.finish(terms, states);
  return true;
}

}  // namespace qsim::cpu::batch
