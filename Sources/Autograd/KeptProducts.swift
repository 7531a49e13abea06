// What a block that is run again need not compute twice: the outputs of its products and of attention. What lies between them, norms, rotations
// and activations, takes a few percent of a block's time and a third of its memory.

package import Tensor

/// An operation whose backward rule can be had from its inputs and some tensors of the forward pass, without the work of it.
package protocol Recallable: Primitive {
  /// The output, and what else `residuals` needs beside the inputs.
  func kept(_ output: Tensor, _ residuals: Residuals) -> [Tensor]
  /// What `forward` kept, from the same inputs and what `kept` gave for them.
  func residuals(_ inputs: [Tensor], kept: [Tensor]) -> Residuals
}

/// Tensors of a block's first run, in the order of its operations, for its second one.
package final class KeptProducts {
  private var entries: [[Tensor]?] = []
  private var position = 0

  /// Nothing so far.
  package init() {}

  /// The place of the next operation, in either run.
  func next() -> Int {
    if position == entries.count { entries.append(nil) }
    position += 1
    return position - 1
  }

  /// Keeps `tensors` at a place.
  func keep(_ tensors: [Tensor], at place: Int) { entries[place] = tensors }

  /// Begins with the second run.
  func rewind() { position = 0 }

  /// What was kept at a place; nil where nothing was. It is gone then.
  func take(at place: Int) -> [Tensor]? { entries[place].take() }
}
