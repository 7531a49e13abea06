// AdamW with moments in 8 bits: a case and its oracle.

import Glibc

package import Tensor

extension OpCases {
  static let optimizer8Bit: [OpCase] =
    ([[1], [17], [3, 100], [0], [8195]] as [Shape]).flatMap {
      [adamW8Bit($0, step: 1), adamW8Bit($0, step: 10)]
    }

  /// One AdamW step with weight decay on moments whose codes are given: the parameter and the numbers of both moments.
  package static func adamW8Bit(_ shape: Shape, step: Int) -> OpCase {
    let coefficients = AdamWStep(
      learningRate: 1e-2, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.1, step: step)
    // Few numbers, of which none lies so close to the middle of two entries that float32 and Double disagree.
    let gradient = HostArray(shape, (0..<shape.count).map { Double($0 * 5 % 7 - 3) / 8 })
    let codes = (0..<2).map { moment in (0..<shape.count).map { ($0 * 41 + 11 * moment) % 256 } }
    let blocks: Shape = [(shape.count + 255) / 256]
    return OpCase(
      "adamw in 8 bits \(shape) step \(step)",
      [
        .normal(shape, .constant), .given(gradient, .statistic), .indices(codes[0]),
        .indices(codes[1]),
        .given(HostArray(blocks, (0..<blocks.count).map { 1 + Double($0 % 3) / 2 }), .statistic),
        .given(HostArray(blocks, (0..<blocks.count).map { Double(1 + $0 % 2) / 2 }), .statistic),
      ], dtypes: [.float32, .bfloat16], elementTraffic: 5 * Double(shape.count)
    ) { x in
      var parameter = x[0].copied()
      var (m, v) = (Moment(of: parameter, in8Bits: true), Moment(of: parameter, in8Bits: true))
      (m.values, m.scales) = (codeTensor(x[2], like: parameter), x[4].copied())
      (v.values, v.scales) = (codeTensor(x[3], like: parameter), x[5].copied())
      parameter.applyAdamW(
        gradient: x[1], firstMoment: &m, secondMoment: &v, step: coefficients)
      return [parameter] + [(m, true), (v, false)].map { numbers(of: $0, isSigned: $1) }
    } oracle: { x in
      let maps = [true, false].map { ReferenceOps.dynamicMap(isSigned: $0) }
      let before = (0..<2).map { moment in
        HostArray(
          x[0].shape,
          x[2 + moment].indices.enumerated().map { i, code in
            maps[moment][code] * x[4 + moment][i / 256]
          })
      }
      let after = ReferenceOps.adamW(
        x[0], gradient: x[1], firstMoment: before[0], secondMoment: before[1], coefficients)
      return [after[0]] + (0..<2).map { ReferenceOps.roundedToMap(after[1 + $0], maps[$0]) }
    }
  }

  /// int32 indices as uint8 codes of the shape of `other`.
  private static func codeTensor(_ indices: Tensor, like other: Tensor) -> Tensor {
    let values = (try? indices.array(of: Int32.self)) ?? []
    let device = Device(backend: other.backend, preferredComputeDType: .float32)
    return Tensor(values.map { UInt8($0) }, shape: other.shape, on: device)
  }

  /// What the codes of a moment stand for.
  static func numbers(of moment: Moment, isSigned: Bool) -> Tensor {
    let map = ReferenceOps.dynamicMap(isSigned: isSigned)
    let codes = (try? moment.values.array(of: UInt8.self)) ?? []
    let scales = (try? moment.scales?.doubles()) ?? []
    let device = Device(backend: moment.values.backend, preferredComputeDType: .float32)
    return Tensor(
      codes.enumerated().map { Float(map[Int($1)] * scales[$0 / 256]) },
      shape: moment.values.shape, on: device)
  }
}

extension ReferenceOps {
  /// The dynamic 8-bit map in Double: for every power of ten from 10⁻⁶ to 1 the midpoints of an even division of 0.1 to 1.
  package static func dynamicMap(isSigned: Bool) -> [Double] {
    var values = [0.0, 1.0]
    for exponent in 0..<7 {
      let count = 1 << (exponent + (isSigned ? 0 : 1))
      for i in 0..<count {
        let value = pow(10, Double(exponent - 6)) * (0.1 + 0.9 * (Double(i) + 0.5) / Double(count))
        values += isSigned ? [value, -value] : [value]
      }
    }
    return values.sorted()
  }

  /// Every element as its block of 256 keeps it: put on one of 65,536 points of [−1, 1], then on the nearest entry.
  package static func roundedToMap(_ x: HostArray, _ map: [Double]) -> HostArray {
    var y = x
    for start in stride(from: 0, to: x.count, by: 256) {
      let block = start..<min(start + 256, x.count)
      let scale = block.reduce(0) { max($0, x[$1].magnitude) }
      for i in block where scale > 0 {
        let point = ((x[i] / scale + 1) * 32_767.5 + 0.5).rounded(.down) / 32_767.5 - 1
        y[i] = scale * (map.min { abs($0 - point) < abs($1 - point) } ?? 0)
      }
    }
    return y
  }
}
