// Every kernel of every device against its naive oracle, in every element type that it takes.

import Tensor
import TensorTestSupport
import Testing

@Suite("Kernels")
struct KernelTests {
  @Test("kernels agree with their oracles", arguments: OpCases.kernels)
  func kernel(_ op: OpCase) throws {
    for device in TestDevices.all {
      for dtype in op.dtypes { try op.verify(dtype, on: device) }
    }
  }

  @Test(
    "products in pieces agree with their oracles",
    arguments: OpCases.largeProducts + OpCases.longSums)
  func largeProduct(_ op: OpCase) throws {
    for dtype in op.dtypes { try op.verify(dtype) }
  }

  @Test("every kernel runs in float32 and float64 somewhere in the table")
  func dtypes() {
    let types = Set(OpCases.kernels.flatMap(\.dtypes))
    #expect(types == [.float32, .float64, .bfloat16])
  }

  @Test("an oracle notices one wrong element")
  func negativeControl() {
    let wrong = OpCase("wrong sum", [.normal([17, 1]), .normal([17, 1])]) { x in
      var y = x[0] + x[1]
      y.replaceRows(from: 16, with: x[0].rows(16..<17))
      return [y]
    } oracle: {
      [ReferenceOps.binary(.add, $0[0], $0[1])]
    }
    for dtype in wrong.dtypes {
      #expect(throws: OpCaseFailure.self) { try wrong.verify(dtype) }
    }
  }

  @Test("an oracle notices a changed input")
  func changedInput() {
    let wrong = OpCase("scale over the input", [.normal([17])]) { x in
      launch(x[0]) { x[0].backend.scale(x[0].operand, by: 2, into: x[0].destination) }
      return [x[0]]
    } oracle: {
      [$0[0].map { 2 * $0 }]
    }
    #expect(throws: OpCaseFailure.self) { try wrong.verify(.float32) }
  }
}
