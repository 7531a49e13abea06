// The table of angles, beyond the lengths of the golden files.

import Foundation
import QwenModel
import Tensor
import Testing

@Suite("Table of angles")
struct RotaryTableTests {
  @Test("positions of every piece have their own angles, and a longer table the same")
  func angles() throws {
    let table = RotaryTable(headDim: 8, theta: 10_000)
    for count in [3, 600, 1500] {
      let (cosines, sines) = table.tables(positions: count, dtype: .float32, like: .zeros([1]))
      #expect(cosines.shape[0] >= count && cosines.shape == sines.shape)
      let (c, s) = try (cosines.array(of: Float.self), sines.array(of: Float.self))
      for position in [0, 1, 255, 256, 511, 512, 1023, 1024, 1499] where position < count {
        for i in 0..<4 {
          let frequency = 1 / Float(pow(10_000, Double(Float(2 * i) / 8)))
          let angle = Double(Float(position) * frequency)
          #expect(c[4 * position + i] == Float(cos(angle)), "\(position), \(i)")
          #expect(s[4 * position + i] == Float(sin(angle)), "\(position), \(i)")
        }
      }
    }
  }
}
