// Several adapters over one set of weights: which rows of a pass go through which adapter. For inference alone; what is
// trained is the one adapter of a linear map.

import Autograd
import Tensor

/// The adapters of a model that rows choose among, and the choice for the next pass.
///
/// All linear maps of the model look here. Rows that no run names go through the base weights alone, to the bit as if
/// there were no adapter.
public final class AdapterRoutes {
  /// Consecutive rows of a pass that go through one adapter.
  public struct Run: Sendable, Hashable {
    /// The rows.
    public let rows: Range<Int>
    /// The number that ``AdapterRoutes/take(from:)`` gave.
    public let adapter: Int

    /// Rows `rows` through adapter `adapter`.
    public init(rows: Range<Int>, adapter: Int) {
      self.rows = rows
      self.adapter = adapter
    }
  }

  /// The choice for the next pass: runs in order, apart from one another.
  public var runs: [Run] = []
  /// Number of adapters taken.
  public private(set) var count = 0

  /// No adapters.
  public init() {}

  /// Takes the adapter that is attached to `model` off it and returns its number, from 0.
  public func take(from model: some Module) -> Int {
    for (_, linear) in model.namedLinears() {
      guard let adapter = linear.adapter else { continue }
      linear.adapter = nil
      var choices = linear.choices ?? AdapterChoices(routes: self)
      precondition(
        choices.routes === self, "AdapterRoutes: the model has routes of its own already")
      choices.adapters[count] = adapter
      linear.choices = choices
    }
    count += 1
    return count - 1
  }
}

/// The adapters of one linear map by their numbers.
struct AdapterChoices {
  /// Where the choice stands.
  let routes: AdapterRoutes
  /// Those adapters that adapt this map.
  var adapters: [Int: LoRAAdapter] = [:]
}

extension Linear {
  /// The base map, plus on the rows of each run that run's low-rank part.  x [N, in] → [N, out]
  func routed(_ x: Variable, _ choices: AdapterChoices) -> Variable {
    let tape = x.tape
    precondition(tape.mode == .inference, "routes of adapters are for inference")
    var y = withoutAdapter(x).value
    let count = x.shape[0]
    for run in choices.routes.runs {
      precondition(run.rows.upperBound <= count, "route: rows \(run.rows) of \(count)")
      guard let adapter = choices.adapters[run.adapter] else { continue }
      let part = x.value.rows(run.rows)
      if run.rows.count == count {
        addAdapter(adapter, to: &y, part, on: tape)
      } else {
        var rows = y.rows(run.rows).copied()
        addAdapter(adapter, to: &rows, part, on: tape)
        y.replaceRows(from: run.rows.lowerBound, with: rows)
      }
    }
    return tape.constant(y)
  }

  /// y += s·(x·Aᵀ)·Bᵀ; with a magnitude y is computed anew.
  private func addAdapter(
    _ adapter: LoRAAdapter, to y: inout Tensor, _ x: Tensor, on tape: Tape
  ) {
    if let magnitude = adapter.magnitude {
      y = weightDecomposed(tape.constant(x), adapter, magnitude).value
      return
    }
    let a = adapter.loraA.value.cast(to: x.dtype)
    let b = adapter.loraB.value.cast(to: x.dtype)
    y.accumulateMatmul(
      Tensor.matmul(x, a, transposeB: true), b, transposeB: true, alpha: adapter.scale)
  }
}
