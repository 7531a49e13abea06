// The table of operations against its oracles on a device that tests cannot reach: the program runs where there is no
// toolchain.

import ArgumentParser
import Autograd
import Tensor
import TensorTestSupport

/// Every operation in every element type, and every gradient along random directions, on each device.
struct Conformance {
  let devices: [Device]
  let filter: String?

  /// Prints what differs and how many agree; exits with 1 where something differs.
  func run() throws {
    var hasDifference = false
    for device in devices where try !agrees(device) { hasDifference = true }
    if hasDifference { throw ExitCode.failure }
  }

  private func agrees(_ device: Device) throws -> Bool {
    var (agreeing, differing) = (0, 0)
    func check(_ name: String, _ body: () throws -> Void) {
      do {
        try body()
        agreeing += 1
      } catch {
        differing += 1
        print("differs: \(name): \(error)")
      }
    }
    for op in OpCases.all where filter.map({ op.name.contains($0) }) ?? true {
      for dtype in op.dtypes {
        check("\(op.name) in \(dtype.rawValue)") { try op.verify(dtype, on: device) }
      }
    }
    for op in OpCases.differentiable where filter.map({ op.name.contains($0) }) ?? true {
      check("gradient of \(op.name)") {
        try GradCheck(elementLimit: 0).verify(op, on: device)
      }
    }
    print("\(device.name): \(agreeing) of \(agreeing + differing) checks agree")
    return differing == 0
  }
}
