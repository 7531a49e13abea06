// Gradient checkpointing (Chen et al. 2016): keep a block's input, forget everything inside, compute it again.

import Tensor

/// Runs `body` without recording it and keeps only `x`; backward runs it again, with the same random numbers.
///
/// Where the body ends in linear maps and sums (``Deferrable``), these are not computed again: backward needs their inputs.
/// The block counts as needing a gradient even where `x` does not, since trained parameters may be inside.
/// `body` must reach variables only through its argument and parameters only through `Tape.leaf`.
public func checkpoint(_ x: Variable, _ body: @escaping (Variable) -> Variable) -> Variable {
  guard x.tape.mode != .inference else { return body(x) }
  return x.tape.record(
    Checkpoint(body: Block(run: body), randomness: x.tape.randomness), [x], always: true)
}

/// The body of a block. It is called on the thread that owns the tape and nowhere else.
private struct Block: @unchecked Sendable {
  // Safety: tapes and modules are confined to one thread, and so is the closure that reaches them.
  let run: (Variable) -> Variable
}

private struct Checkpoint: Primitive {
  static let name = "checkpoint"
  let body: Block
  let randomness: Randomness?

  func forward(_ inputs: [Tensor], needs: GradientMask) -> (output: Tensor, residuals: Tensor) {
    let tape = Tape(mode: .inference, randomness: randomness)
    return (body.run(tape.constant(inputs[0])).value, inputs[0])
  }

  func backward(_ dy: consuming Tensor, _ x: Tensor, into gradients: inout InputGradients) {
    let tape = Tape(mode: .replaying, randomness: randomness)
    let input = gradients.needs[0] ? tape.input(x) : tape.constant(x)
    tape.backward(from: body.run(input), seed: dy)
    if let dx = tape.gradient(of: input) { gradients.accumulate(0, dx) }
  }
}
