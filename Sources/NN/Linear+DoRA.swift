// Weight-decomposed adaptation (Liu et al. 2024): the adapted weight's rows have a trained length of their own. Their norms
// are computed from products of rank R, never from an adapted weight of full size.

import Autograd
import Tensor

/// The norms of the rows of an adapted weight, kept while nothing they depend on changes: through all micro-batches of a
/// step, recomputed blocks included, and through a whole evaluation.
struct RowNorms {
  /// ‖W‖² of every row, [out], and the version of W.
  var squaresOfBase: (version: Int, value: Tensor)?
  /// ‖W + s·B·A‖ of every row, [out], and the versions of W, A and B.
  var norms: (versions: [Int], value: Tensor)?
}

extension Linear {
  /// y = (m / n) ⊙ x·(W + s·B·A)ᵀ + b with n = ‖W + s·B·A‖ of every row, a constant.  x [N, in] → [N, out]
  ///
  /// Merged, the map's weight is (m / n) ⊙ (W + s·B·A), row by row.
  func weightDecomposed(_ x: Variable, _ adapter: LoRAAdapter, _ magnitude: Parameter) -> Variable {
    let tape = x.tape
    let (a, b) = (tape.leaf(adapter.loraA), tape.leaf(adapter.loraB))
    let lowRank = LowRankPart(scale: adapter.scale, dropout: nil)
    return weightDecomposedMap(
      x, magnitude: tape.leaf(magnitude), norms: adaptedRowNorms(adapter),
      bias: bias.map { tape.leaf($0) }, dropout: adapter.dropout(on: tape)
    ) { u in
      if let packedWeight {
        let map = PackedLinearMap(weight: packedWeight, hasBias: false, adapter: lowRank)
        return tape.record(map, [u, a, b])
      }
      let map = LoRALinearMap(hasBias: false, adapter: lowRank)
      return tape.record(map, [u, tape.leaf(weight), a, b])
    } base: { rest in
      if let packedWeight {
        return tape.record(PackedLinearMap(weight: packedWeight, hasBias: false), [rest])
      }
      return tape.record(LinearMap(hasBias: false), [rest, tape.leaf(weight)])
    }
  }

  /// n = ‖W + s·B·A‖ of every row: n² = ‖W‖² + ⟨B, 2s·W·Aᵀ + s²·B·(A·Aᵀ)⟩ row by row.  → [out]
  func adaptedRowNorms(_ adapter: LoRAAdapter) -> Tensor {
    let versions = [weight.version, adapter.loraA.version, adapter.loraB.version]
    if let kept = adapter.rowNorms.norms, kept.versions == versions { return kept.value }
    let (a, b, s) = (adapter.loraA.value, adapter.loraB.value, adapter.scale)
    var change = weightProduct(a, scale: 2 * s)  // [out, R]
    change.accumulateMatmul(b, Tensor.matmul(a, a, transposeB: true), alpha: s * s)
    let norms = (squaredRowNorms(adapter) + b.dotOfRows(change)).squareRoot().cast(to: b.dtype)
    adapter.rowNorms.norms = (versions, norms)
    return norms
  }

  /// scale·W·Aᵀ in the type of A; a W of a narrower type is widened some rows at a time.  → [out, R]
  private func weightProduct(_ a: Tensor, scale: Double) -> Tensor {
    if let quantizedWeight {
      return Tensor.matmul(a, packed: .nf4(quantizedWeight), transposeWeight: true)
        .scaled(by: scale).transposed()
    }
    if packedWeight == nil, weight.value.dtype == a.dtype {
      return Tensor.matmul(weight.value, a, transposeB: true, alpha: scale)
    }
    let parts = stride(from: 0, to: outputSize, by: 512).map { start in
      let range = start..<min(start + 512, outputSize)
      let rows =
        packedWeight?.unpacked(rows: range, dtype: a.dtype)
        ?? weight.value.rows(range).cast(to: a.dtype)
      return Tensor.matmul(rows, a, transposeB: true, alpha: scale)
    }
    return Tensor.concatenatedRows(parts)
  }

  /// ‖W‖² of every row.  → [out]
  private func squaredRowNorms(_ adapter: LoRAAdapter) -> Tensor {
    if let kept = adapter.rowNorms.squaresOfBase, kept.version == weight.version {
      return kept.value
    }
    let squares =
      packedWeight.map { squaredRowNorms(of: $0) } ?? weight.value.dotOfRows(weight.value)
    adapter.rowNorms.squaresOfBase = (weight.version, squares)
    return squares
  }

  /// The same of a weight in fewer bits, some rows at a time.
  private func squaredRowNorms(of weight: PackedWeight) -> Tensor {
    let parts = stride(from: 0, to: outputSize, by: 512).map { start in
      let rows = weight.unpacked(
        rows: start..<min(start + 512, outputSize),
        dtype: quantizedWeight == nil ? .bfloat16 : .float32)
      return rows.dotOfRows(rows)
    }
    return Tensor.concatenatedRows(parts)
  }
}
