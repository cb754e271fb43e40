"""Statements to trees, one at a time, for OpenQASM 2 and 3."""

from __future__ import annotations

from collections.abc import Callable

from . import nodes
from .errors import SourceMap
from .expression_parser import TYPES, ExpressionParser, describe
from .lexer import Lexer, Token
from .limits import Limits
from .walk import statements_in

__all__ = ["RESERVED", "Parser"]

_MODIFIERS = frozenset({"ctrl", "negctrl", "inv", "pow"})
_ASSIGNMENTS = frozenset({"=", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "<<=", ">>=", "**="})
_PULSES = "Pulses have no meaning for a state vector; leave them out."
_TIMES = "Times have no effect here; leave it out, or write the time in the brackets of 'delay' or 'box'."
#: Words that begin what is not supported, and what to do instead.
_UNSUPPORTED = {
    "cal": _PULSES,
    "defcal": _PULSES,
    "defcalgrammar": _PULSES,
    "duration": _TIMES,
    "stretch": _TIMES,
    "extern": "Write the function as 'def', or its result as 'const' or 'input'.",
    "complex": "Use two variables of type float.",
}
RESERVED = frozenset({
    "OPENQASM", "include", "gate", "opaque", "qreg", "creg", "qubit", "measure", "reset", "barrier", "if", "else",
    "for", "while", "in", "def", "return", "let", "const", "input", "output", "array", "switch", "case", "default",
    "break", "continue", "end", "ctrl", "negctrl", "inv", "delay", "box", "true", "false", "pi", "tau", "euler",
    "π", "τ", "ℇ", "pragma",
}) | TYPES | frozenset(_UNSUPPORTED)  # fmt: skip
_RESERVED_2 = frozenset(
    {"OPENQASM", "include", "gate", "opaque", "qreg", "creg", "measure", "reset", "barrier", "if", "pi", "U", "CX"}
)


class Parser(ExpressionParser):
    """Reads one statement after another; knows the grammar and no meaning."""

    def __init__(self, lexer: Lexer, sources: SourceMap, limits: Limits, version: int) -> None:
        super().__init__(lexer, sources, limits, version)
        common: dict[str, Callable[[Token], nodes.Statement]] = {
            "gate": self._gate,
            "opaque": self._opaque,
            "qreg": self._register,
            "creg": self._register,
            "measure": self._measure,
            "reset": self._reset,
            "barrier": self._barrier,
            "if": self._if,
        }
        version3: dict[str, Callable[[Token], nodes.Statement]] = {
            "qubit": self._declaration,
            "const": self._stored,
            "input": self._stored,
            "output": self._stored,
            "array": self._declaration,
            "let": self._let,
            "for": self._for,
            "while": self._while,
            "switch": self._switch,
            "def": self._def,
            "return": self._return,
            "break": self._jump,
            "continue": self._jump,
            "end": self._jump,
            "delay": self._delay,
            "box": self._box,
            "ctrl": self._modified,
            "negctrl": self._modified,
            "inv": self._modified,
            "pow": self._modified,
        }
        self._statements = common if version == 2 else common | version3
        self._reserved = _RESERVED_2 if version == 2 else RESERVED

    # ------------------------------------------------------------------------------------------------- statements

    def statement(self) -> nodes.Statement | None:
        """Parse one statement; None for an empty one and at the end of the file."""
        token = self.lexer.peek()
        if token.kind == "end":
            return None
        self.enter(token.position)
        statement = self._statement(token)
        self.leave()
        return statement

    def _statement(self, token: Token) -> nodes.Statement | None:
        if self.accept(";"):
            return None
        if self.version == 3:
            if token.text in ("@", "#", "pragma"):
                self.lexer.rest_of_line()
                return None
            if token.text == "{" and token.kind == "op":
                return nodes.Block(self.block(), token.position)
            if token.kind == "ident" and token.text in _UNSUPPORTED:
                raise self.error(f"'{token.text}' is not supported. {_UNSUPPORTED[token.text]}", token.position)
            if token.text in TYPES and token.kind == "ident":
                return self._declaration(self.lexer.next())
        if token.kind != "ident":
            raise self.error(f"expected a statement, got {describe(token)}.", token.position)
        parse = self._statements.get(token.text)
        return parse(self.lexer.next()) if parse else self._name_statement(self.lexer.next())

    def block(self) -> list[nodes.Statement]:
        """Parse ``{ statements }``."""
        opening = self.expect("{", "to open a block")
        body: list[nodes.Statement] = []
        while not self.accept("}"):
            if self.lexer.peek().kind == "end":
                raise self.error("block is not closed. Add '}'.", opening.position)
            statement = self.statement()
            if statement is not None:
                body.append(statement)
        return body

    def _body(self) -> list[nodes.Statement]:
        """Parse a block or a single statement."""
        token = self.lexer.peek()
        if token.text == "{" and token.kind == "op" and self.version == 3:
            return self.block()
        statement = self.statement()
        if statement is None and self.lexer.peek().kind == "end":
            raise self.error("expected a statement, got the end of the file.", self.lexer.peek().position)
        return [] if statement is None else [statement]

    def new_name(self, what: str) -> Token:
        """Take an identifier that is about to be declared."""
        token = self.identifier(what)
        if token.text in self._reserved:
            raise self.error(f"'{token.text}' is a word of the language and can't be {what}.", token.position)
        return token

    def _end(self, what: str) -> None:
        self.expect(";", f"after {what}")

    def _names(self, what: str) -> list[str]:
        names: list[str] = []
        while True:
            token = self.new_name(what)
            if token.text in names:
                raise self.error(f"name '{token.text}' is used twice in one list.", token.position)
            names.append(token.text)
            if not self.accept(","):
                return names

    def _operands(self) -> list[nodes.Expression]:
        operands = [self.expression()]
        while self.accept(","):
            operands.append(self.expression())
        return operands

    # ------------------------------------------------------------------------------------------------ definitions

    def _signature(self) -> tuple[Token, list[str], list[str]]:
        name = self.new_name("the name of a gate") if self.version == 3 else self.identifier("the name of a gate")
        params: list[str] = []
        if self.accept("(") and not self.accept(")"):
            params = self._names("a gate parameter")
            self.expect(")", "after the parameters of a gate")
        return name, params, self._names("a qubit of a gate")

    def _gate(self, token: Token) -> nodes.Statement:
        name, params, qubits = self._signature()
        opening = self.expect("{", "to open the body of a gate")
        body: list[nodes.Statement] = []
        while not self.accept("}"):
            inner = self.lexer.peek()
            if inner.kind == "end":
                raise self.error("body of the gate is not closed. Add '}'.", opening.position)
            statement = self.statement()
            if statement is None:
                continue
            if not isinstance(statement, nodes.GateCall | nodes.Barrier | nodes.For | nodes.If | nodes.Block):
                raise self.error("only gates, barriers and loops over constants may stand in a gate.", inner.position)
            body.append(statement)
        return nodes.GateDefinition(name.text, params, qubits, body, name.position)

    def _opaque(self, token: Token) -> nodes.Statement:
        name, params, qubits = self._signature()
        self._end("an opaque declaration")
        return nodes.GateDefinition(name.text, params, qubits, None, name.position)

    def _def(self, token: Token) -> nodes.Statement:
        name = self.new_name("the name of a subroutine")
        self.expect("(", "after the name of a subroutine")
        parameters: list[nodes.SubroutineParameter] = []
        while not self.accept(")"):
            kind = self._type(self.identifier("a type"))
            word = self.new_name("the name of a parameter")
            parameters.append(nodes.SubroutineParameter(kind, word.text, word.position))
            if not self.accept(","):
                self.expect(")", "after the parameters of a subroutine")
                break
        result = self._type(self.identifier("a type")) if self.accept("->") else None
        body = self.block()
        returns = [node for node in statements_in(body) if isinstance(node, nodes.Return)]
        last = returns[0].value if len(returns) == 1 else None
        result_name = last.name if isinstance(last, nodes.Name) else None
        return nodes.Subroutine(name.text, parameters, result, body, name.position, result_name)

    # ----------------------------------------------------------------------------------------------- declarations

    def _register(self, token: Token) -> nodes.Statement:
        name = self.new_name("the name of a register")
        kind = "qubit" if token.text == "qreg" else "bit"
        width: nodes.Expression | None = None
        if self.version == 2 or self.lexer.peek().text == "[":
            self.expect("[", "and a size after the name of a register")
            width = self.expression()
            self.expect("]", "after the size of a register")
        self._end("a register")
        return nodes.Declaration(nodes.Type(kind, width, token.position), name.text, None, "", name.position)

    def _type(self, token: Token) -> nodes.Type:
        if token.text == "array":
            self.expect("[", "after 'array'")
            element = self._type(self.identifier("a type"))
            self.expect(",", "before the size of an array")
            width = self.expression()
            if self.lexer.peek().text == ",":
                raise self.error("arrays of more than one dimension are not supported.", self.lexer.peek().position)
            self.expect("]", "after the size of an array")
            return nodes.Type("array", width, token.position, element)
        if token.text not in TYPES and token.text not in ("qubit", "qreg", "creg"):
            raise self.error(f"expected a type, got {describe(token)}.", token.position)
        kind = self.type_after(token)
        kind.kind = {"qreg": "qubit", "creg": "bit"}.get(kind.kind, kind.kind)
        return kind

    def _declaration(self, token: Token, storage: str = "") -> nodes.Statement:
        kind = self._type(token)
        name = self.new_name("the name of a variable")
        value = self.expression() if self.accept("=") else None
        self._end("a declaration")
        return nodes.Declaration(kind, name.text, value, storage, name.position)

    def _stored(self, token: Token) -> nodes.Statement:
        return self._declaration(self.identifier("a type"), token.text)

    def _let(self, token: Token) -> nodes.Statement:
        name = self.new_name("an alias")
        self.expect("=", "after the name of an alias")
        value = self.expression()
        self._end("an alias")
        return nodes.Alias(name.text, value, name.position)

    # ------------------------------------------------------------------------------------------ quantum statements

    def _measure(self, token: Token) -> nodes.Statement:
        operand = self.expression()
        target: nodes.Expression | None = None
        if self.version == 2:
            self.expect("->", "after the qubits of a measurement")
            target = self.expression()
        elif self.accept("->"):
            target = self.expression()
        self._end("a measurement")
        return nodes.MeasureArrow(operand, target, token.position)

    def _reset(self, token: Token) -> nodes.Statement:
        operand = self.expression()
        self._end("a reset")
        return nodes.Reset(operand, token.position)

    def _barrier(self, token: Token) -> nodes.Statement:
        operands = [] if self.version == 3 and self.lexer.peek().text == ";" else self._operands()
        self._end("a barrier")
        return nodes.Barrier(operands, token.position)

    def _skip_time(self) -> None:
        """Skip the bracket with a time: durations have no effect here."""
        self.expect("[", "with a time")
        while not self.accept("]"):
            if self.lexer.peek().kind == "end" or self.lexer.peek().text in (";", "{", "}"):
                raise self.error("time in brackets is not closed. Add ']'.", self.lexer.peek().position)
            self.lexer.next()

    def _delay(self, token: Token) -> nodes.Statement:
        self._skip_time()
        operands = [] if self.lexer.peek().text == ";" else self._operands()
        self._end("a delay")
        return nodes.Delay(operands, token.position)

    def _box(self, token: Token) -> nodes.Statement:
        if self.lexer.peek().text == "[":
            self._skip_time()
        return nodes.Block(self.block(), token.position)

    def _modified(self, token: Token) -> nodes.Statement:
        modifiers: list[nodes.Modifier] = []
        while token.text in _MODIFIERS:
            argument = None
            if token.text != "inv" and self.accept("("):
                argument = self.expression()
                self.expect(")", f"after the argument of '{token.text}'")
            if token.text == "pow" and argument is None:
                raise self.error("'pow' needs an exponent: pow(k) @ gate.", token.position)
            modifiers.append(nodes.Modifier(token.text, argument, token.position))
            if len(modifiers) > self.limits.nesting:
                limit = self.limits.nesting
                raise self.error(f"more than {limit} modifiers on one gate (Limits.nesting).", token.position)
            self.expect("@", f"after the modifier '{token.text}'")
            token = self.identifier("a gate or a modifier")
        return self._gate_call(token, modifiers)

    def _gate_call(self, name: Token, modifiers: list[nodes.Modifier]) -> nodes.Statement:
        params = self.separated(")") if self.accept("(") else []
        operands = [] if self.lexer.peek().text == ";" else self._operands()
        self._end(f"the gate '{name.text}'")
        return nodes.GateCall(name.text, params, operands, modifiers, name.position)

    def _name_statement(self, name: Token) -> nodes.Statement:
        """A gate, a call, or an assignment: the token after the name tells them apart."""
        following = self.lexer.peek()
        if self.version == 2 and following.kind == "op" and following.text != "(":
            hint = " It belongs to OpenQASM 3." if name.text in RESERVED else ""
            raise self.error(f"'{name.text}' is not a statement of OpenQASM 2.{hint}", name.position)
        if following.kind != "op" or self.version == 2:
            return self._gate_call(name, [])
        if following.text == "[" or following.text in _ASSIGNMENTS:
            return self._assignment(name)
        if following.text != "(":
            raise self.error(f"expected qubits after '{name.text}', got {describe(following)}.", following.position)
        self.lexer.next()
        arguments = self.separated(")")
        if name.text != "gphase" and self.accept(";"):
            return nodes.ExpressionStatement(nodes.Call(name.text, arguments, name.position), name.position)
        operands = [] if self.lexer.peek().text == ";" else self._operands()
        self._end(f"the gate '{name.text}'")
        return nodes.GateCall(name.text, arguments, operands, [], name.position)

    def _assignment(self, name: Token) -> nodes.Statement:
        target: nodes.Expression = nodes.Name(name.text, name.position)
        while self.lexer.peek().text == "[":
            position = self.lexer.next().position
            target = nodes.Index(target, self._index_item(), position)
        op = self.lexer.next()
        if op.text not in _ASSIGNMENTS or op.kind != "op":
            raise self.error(f"expected '=' after what is assigned to, got {describe(op)}.", op.position)
        value = self.expression()
        self._end("an assignment")
        return nodes.Assign(target, op.text[:-1], value, name.position)

    # ------------------------------------------------------------------------------------------------ control flow

    def _condition(self, word: str) -> nodes.Expression:
        self.expect("(", f"after '{word}'")
        condition = self.expression()
        if self.lexer.peek().text == "=":
            raise self.error("expected a condition, got an assignment. Compare with '=='.", self.lexer.peek().position)
        self.expect(")", f"after the condition of '{word}'")
        return condition

    def _if(self, token: Token) -> nodes.Statement:
        condition = self._condition("if")
        block = self._body()
        otherwise = self._body() if self.version == 3 and self.accept("else") else []
        return nodes.If(condition, block, otherwise, token.position)

    def _while(self, token: Token) -> nodes.Statement:
        return nodes.While(self._condition("while"), self._body(), token.position)

    def _for(self, token: Token) -> nodes.Statement:
        kind = self._type(self.identifier("the type of the loop variable"))
        name = self.new_name("a loop variable")
        self.expect("in", "after the loop variable")
        values: nodes.Expression
        if self.accept("["):
            values = self.range_or_expression()
            self.expect("]", "after the range of a loop")
        else:
            values = self.expression()
        return nodes.For(kind, name.text, values, self._body(), token.position)

    def _switch(self, token: Token) -> nodes.Statement:
        value = self._condition("switch")
        self.expect("{", "to open the cases of 'switch'")
        cases: list[tuple[list[nodes.Expression] | None, list[nodes.Statement]]] = []
        while not self.accept("}"):
            word = self.lexer.next()
            if cases and cases[-1][0] is None:
                raise self.error("'default' must be the last case of 'switch'.", word.position)
            if word.text == "default":
                cases.append((None, self.block()))
            elif word.text == "case":
                cases.append((self._operands(), self.block()))
            else:
                raise self.error(f"expected 'case', 'default' or '}}', got {describe(word)}.", word.position)
        return nodes.Switch(value, cases, token.position)

    def _jump(self, token: Token) -> nodes.Statement:
        self._end(f"'{token.text}'")
        return nodes.Jump(token.text, token.position)

    def _return(self, token: Token) -> nodes.Statement:
        value = None if self.lexer.peek().text == ";" else self.expression()
        self._end("'return'")
        return nodes.Return(value, token.position)
