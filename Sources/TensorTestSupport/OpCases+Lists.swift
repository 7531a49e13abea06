// Operations on many tensors at once: cases of lists in which some tensors are empty, some fill a block of threads, and
// some need several.

import Tensor

extension OpCases {
  /// Lists of lengths.
  private static let lists: [[Int]] = [[3], [5, 0, 1024, 1, 0], [0, 4097, 256, 70_001, 17], [0]]

  static let optimizerLists: [OpCase] = lists.flatMap { counts in
    [adamWSteps(counts), adamW8BitSteps(counts), squaredNorms(counts), scaleAll(counts)]
  }

  /// AdamW steps of several parameters with coefficients of their own.
  private static func adamWSteps(_ counts: [Int]) -> OpCase {
    OpCase(
      "adamw of \(counts) elements",
      counts.flatMap { count -> [OpInput] in
        [
          .normal([count], .constant), .normal([count], .statistic), .normal([count], .statistic),
          .uniform([count], 0..<1, .statistic),
        ]
      }
    ) { x in
      var steps = AdamWSteps()
      var results: [Tensor] = []
      for index in counts.indices {
        var parameter = x[4 * index].copied()
        var first = Moment(x[4 * index + 2].copied())
        var second = Moment(x[4 * index + 3].copied())
        steps.add(
          &parameter, gradient: x[4 * index + 1], firstMoment: &first, secondMoment: &second,
          step: coefficients(index))
        results += [parameter, first.values, second.values]
      }
      steps.run()
      return results
    } oracle: { x in
      counts.indices.flatMap { index in
        ReferenceOps.adamW(
          x[4 * index], gradient: x[4 * index + 1], firstMoment: x[4 * index + 2],
          secondMoment: x[4 * index + 3], coefficients(index))
      }
    }
  }

  /// First steps of several parameters with moments in 8 bits, and of one without: parameters and moments.
  private static func adamW8BitSteps(_ counts: [Int]) -> OpCase {
    let counts = counts + [7]
    let isNarrow: @Sendable (Int) -> Bool = { $0 < counts.count - 1 }
    return OpCase(
      "adamw in 8 bits of \(counts) elements",
      counts.enumerated().flatMap { index, count -> [OpInput] in
        // Few numbers, none of which lies so close to the middle of two entries that float32 and Double disagree, and none 0,
        // where a small difference of the gradient would turn the step around.
        let gradient = (0..<count).map { Double(($0 + index) * 5 % 7 + 1) / 8 }
        return [.normal([count], .constant), .given(HostArray([count], gradient), .statistic)]
      }, dtypes: [.float32, .bfloat16]
    ) { x in
      var steps = AdamWSteps()
      var added: [(parameter: Tensor, first: Moment, second: Moment)] = []
      for index in counts.indices {
        var parameter = x[2 * index].copied()
        var first = Moment(of: parameter, in8Bits: isNarrow(index))
        var second = Moment(of: parameter, in8Bits: isNarrow(index))
        steps.add(
          &parameter, gradient: x[2 * index + 1], firstMoment: &first, secondMoment: &second,
          step: coefficients(index, step: 1))
        added.append((parameter, first, second))
      }
      steps.run()
      return added.enumerated().flatMap { index, entry in
        isNarrow(index)
          ? [
            entry.parameter, numbers(of: entry.first, isSigned: true),
            numbers(of: entry.second, isSigned: false),
          ] : [entry.parameter, entry.first.values, entry.second.values]
      }
    } oracle: { x in
      let maps = [true, false].map { ReferenceOps.dynamicMap(isSigned: $0) }
      return counts.enumerated().flatMap { index, count in
        let zeros = HostArray([count], Array(repeating: 0, count: count))
        let after = ReferenceOps.adamW(
          x[2 * index], gradient: x[2 * index + 1], firstMoment: zeros, secondMoment: zeros,
          coefficients(index, step: 1))
        guard isNarrow(index) else { return after }
        return [after[0]] + (0..<2).map { ReferenceOps.roundedToMap(after[1 + $0], maps[$0]) }
      }
    }
  }

  /// Σ x² of each.
  private static func squaredNorms(_ counts: [Int]) -> OpCase {
    OpCase("squared norms of \(counts) elements", counts.map { .normal([$0]) }) { x in
      [Tensor.squaredNorms(x)]
    } oracle: { x in
      [HostArray([counts.count], x.map { ReferenceOps.squaredNorm($0)[0] })]
    }
  }

  /// Every x ← α·x.
  private static func scaleAll(_ counts: [Int]) -> OpCase {
    OpCase("scale all of \(counts) elements", counts.map { .normal([$0]) }) { x in
      var scaled = x
      Tensor.scale(&scaled, by: 0.375)
      return scaled
    } oracle: { x in
      x.map { $0.map { 0.375 * $0 } }
    }
  }

  /// Coefficients that differ between the parameters of a list.
  private static func coefficients(_ index: Int, step: Int = 10) -> AdamWStep {
    AdamWStep(
      learningRate: 1e-2 * Double(index + 1), beta1: 0.9, beta2: 0.999, epsilon: 1e-8,
      weightDecay: index % 2 == 0 ? 0.1 : 0, step: step)
  }
}
