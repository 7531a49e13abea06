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

  /// First steps of several parameters with moments in 8 bits, among them one without: the parameters.
  private static func adamW8BitSteps(_ counts: [Int]) -> OpCase {
    let counts = counts + [7]
    return OpCase(
      "adamw in 8 bits of \(counts) elements",
      counts.flatMap { count -> [OpInput] in
        // Away from 0, where a small difference of the gradient would turn the step around.
        [.normal([count], .constant), .uniform([count], 0.5..<1, .statistic)]
      }, dtypes: [.float32, .bfloat16]
    ) { x in
      var steps = AdamWSteps()
      var results: [Tensor] = []
      for index in counts.indices {
        var parameter = x[2 * index].copied()
        let in8Bits = index < counts.count - 1
        var first = Moment(of: parameter, in8Bits: in8Bits)
        var second = Moment(of: parameter, in8Bits: in8Bits)
        steps.add(
          &parameter, gradient: x[2 * index + 1], firstMoment: &first, secondMoment: &second,
          step: coefficients(index, step: 1))
        results.append(parameter)
      }
      steps.run()
      return results
    } oracle: { x in
      counts.enumerated().map { index, count in
        let zeros = HostArray([count], Array(repeating: 0, count: count))
        return ReferenceOps.adamW(
          x[2 * index], gradient: x[2 * index + 1], firstMoment: zeros, secondMoment: zeros,
          coefficients(index, step: 1))[0]
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
