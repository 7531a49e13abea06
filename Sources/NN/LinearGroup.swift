// Linear maps of the same input. Where nothing is kept of a pass and rows are few, as in decoding, those with adapters are one operation: a
// low-rank part takes less time by itself than it takes to call.

package import Autograd
import Tensor

/// Several linear maps of one input, as those to queries, keys and values.
package final class LinearGroup {
  /// The low-rank factors of all maps as they are multiplied, and what they were made of.
  private struct Factors {
    /// The adapters, held so that no others take their places, and the versions of their factors.
    var adapters: [LoRAAdapter?]
    var versions: [Int]
    /// The factors A of all, one behind the other, [ΣR, in], and each one's B, [out, R].
    var a: Tensor
    var b: [Tensor?]
  }

  /// Rows of an input that are few.
  private static let fewRows = 8

  private let linears: [Linear]

  /// A group of `linears`, which have inputs of one extent.
  package init(_ linears: Linear...) { self.linears = linears }

  /// Each map of x, with its adapter where one is active.  x [N, in] → [N, out] each
  package func callAsFunction(_ x: Variable) -> [Variable] {
    guard x.tape.isForgetful, x.shape[0] <= LinearGroup.fewRows,
      let adapters = adapters(for: x), adapters.contains(where: { $0 != nil }),
      let weights = weights(for: x.dtype)
    else { return linears.map { $0(x) } }
    let parts = lowRankTerms(adapters, x.value, on: x.tape)
    var results = Tensor.matmul(
      x.value, packed: zip(weights, parts).map { PackedTerm($0, plus: $1) })
    for (index, linear) in linears.enumerated() {
      if let bias = linear.bias { results[index].addRow(bias.value.cast(to: x.dtype)) }
    }
    return results.map { x.tape.constant($0) }
  }

  /// The weights as they are multiplied by rows of `dtype`; nil where one would have to be converted.
  private func weights(for dtype: DType) -> [PackedWeight]? {
    var weights: [PackedWeight] = []
    for linear in linears {
      if let packed = linear.packedWeight {
        weights.append(packed)
      } else if linear.weight.value.dtype == dtype || linear.weight.value.dtype == .bfloat16 {
        weights.append(.narrow(linear.weight.value))
      } else {
        return nil
      }
    }
    return weights
  }

  /// The adapter of each map that all rows of x go through; nil where rows differ, or an adapter is more than a low-rank part.
  private func adapters(for x: Variable) -> [LoRAAdapter?]? {
    guard linears.contains(where: { $0.adapter != nil || $0.choices != nil }) else { return nil }
    var adapters: [LoRAAdapter?] = []
    for linear in linears {
      var adapter = linear.isAdapterEnabled ? linear.adapter : nil
      if let choices = linear.choices, let run = choices.routes.runs.first {
        guard run.rows == 0..<x.shape[0] else { return nil }
        adapter = choices.adapters[run.adapter]
      }
      if let adapter, adapter.magnitude != nil || adapter.dropout(on: x.tape) != nil { return nil }
      adapters.append(adapter)
    }
    return adapters
  }

  /// s·(x·Aᵀ)·Bᵀ of each adapter, with factors in the type of x.
  private func lowRankTerms(_ adapters: [LoRAAdapter?], _ x: Tensor, on tape: Tape)
    -> [LowRankTerm?]
  {
    let factors = factors(of: adapters, like: x, on: tape)
    // One row times all factors is what each of them gives, one behind the other.
    let together =
      x.rowCount == 1
      ? Tensor.matmul(x, factors.a, transposeB: true).reshaped([factors.a.rowCount, 1]) : nil
    var first = 0
    return zip(adapters, factors.b).map { adapter, b in
      guard let adapter, let b else { return nil }
      let rows = first..<first + adapter.rank
      first = rows.upperBound
      let h =
        together.map { $0.rows(rows).reshaped([1, adapter.rank]) }
        ?? Tensor.matmul(x, factors.a.rows(rows), transposeB: true)
      return LowRankTerm(h, b, scale: adapter.scale)
    }
  }

  /// The factors in the type of x, converted once for all passes on a tape.
  private func factors(of adapters: [LoRAAdapter?], like x: Tensor, on tape: Tape) -> Factors {
    let versions = adapters.flatMap { [$0?.loraA.version ?? 0, $0?.loraB.version ?? 0] }
    if let kept = tape.kept[ObjectIdentifier(self)] as? Factors, kept.versions == versions,
      kept.a.dtype == x.dtype, zip(kept.adapters, adapters).allSatisfy({ $0 === $1 })
    {
      return kept
    }
    let all = adapters.compactMap { $0?.loraA.value.cast(to: x.dtype) }
    let factors = Factors(
      adapters: adapters, versions: versions,
      a: all.count == 1 ? all[0] : Tensor.concatenatedRows(all),
      b: adapters.map { $0?.loraB.value.cast(to: x.dtype) })
    tape.kept[ObjectIdentifier(self)] = factors
    return factors
  }
}
