// Gradient checkpointing (Chen et al. 2016): keep a block's input, forget what is inside, all of it or what is cheap, and compute it again.

import Tensor

/// Runs `body` without recording it and keeps only `x`; backward runs it again, with the same random numbers.
///
/// Where the body ends in linear maps and sums (``Deferrable``), these are not computed again: backward needs their inputs.
/// The block counts as needing a gradient even where `x` does not, since trained parameters may be inside.
/// `body` must reach variables only through its argument and parameters only through `Tape.leaf`. With `keepsProducts` what linear maps, sums
/// and attention gave is kept too, where it is read within the body, so that the second run computes what lies between them alone.
public func checkpoint(
  _ x: Variable, keepsProducts: Bool = false, _ body: @escaping (Variable) -> Variable
) -> Variable {
  // Within a block that keeps products both runs go through the body alike.
  guard x.tape.mode != .inference, x.tape.products == nil else { return body(x) }
  return x.tape.record(
    Checkpoint(
      body: Block(run: body), randomness: x.tape.randomness, keepsProducts: keepsProducts), [x],
    always: true)
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
  let keepsProducts: Bool

  struct Residuals {
    let x: Tensor
    let products: KeptProducts?
  }

  func forward(_ inputs: [Tensor], needs: GradientMask) -> (output: Tensor, residuals: Residuals) {
    let products = keepsProducts ? KeptProducts() : nil
    let tape = Tape(mode: .inference, randomness: randomness, products: products)
    let output = body.run(tape.constant(inputs[0])).value
    return (output, Residuals(x: inputs[0], products: products))
  }

  func backward(_ dy: consuming Tensor, _ kept: Residuals, into gradients: inout InputGradients) {
    let (x, products) = (kept.x, kept.products)
    products?.rewind()
    let tape = Tape(mode: .replaying, randomness: randomness, products: products)
    let input = gradients.needs[0] ? tape.input(x) : tape.constant(x)
    tape.backward(from: body.run(input), seed: dy)
    if let dx = tape.gradient(of: input) { gradients.accumulate(0, dx) }
  }
}
