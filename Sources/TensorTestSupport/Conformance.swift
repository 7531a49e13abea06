// The table of operations against its oracles on a device that tests cannot reach: a program runs it where there is no
// toolchain.

import Autograd

package import Tensor

/// Every operation in every element type, and every gradient along random directions, on a device.
package struct Conformance {
  /// Checks that agree and that do not.
  package private(set) var (agreeing, differing) = (0, 0)
  /// Whether there was something to check and all of it agrees.
  package var agrees: Bool { differing == 0 && agreeing > 0 }
  /// All checks there are, whether they were run or not. They are numbered from 1.
  package var count: Int { ops.reduce(gradients.count) { $0 + $1.dtypes.count } }
  private let ops, gradients: [OpCase]

  /// The checks of the operations whose name contains `filter`.
  package init(filter: String?) {
    let isWanted = { (op: OpCase) in filter.map { op.name.contains($0) } ?? true }
    // Not the longest sums: a GPU may take them in one part.
    ops = (OpCases.kernels + OpCases.largeProducts + OpCases.differentiable).filter(isWanted)
    gradients = OpCases.differentiable.filter(isWanted)
  }

  /// Checks a device from check `first` on, and tells `report` a line of each difference. After a failure, which stays with a device,
  /// it goes on with what `reopen` gives. `begin` is told the number and the name of each check before it is run.
  package mutating func run(
    on device: Device, from first: Int = 1, reopening reopen: () throws -> Device,
    beginning begin: (Int, String) -> Void = { _, _ in }, report: (String) -> Void
  ) {
    var device = device
    var number = 0
    /// False where the device does not open again.
    func check(_ name: String, _ counts: inout (Int, Int), _ body: (Device) throws -> Void) -> Bool
    {
      number += 1
      if number < first { return true }
      begin(number, name)
      do {
        try body(device)
        counts.0 += 1
        return true
      } catch {
        counts.1 += 1
        report("differs: \(name): \(error)")
      }
      // An error that hides another in its words is no different: what matters is whether the device still works.
      do {
        try device.synchronize()
      } catch {
        do { device = try reopen() } catch {
          report("the device does not open again: \(error)")
          return false
        }
      }
      return true
    }
    var counts = (agreeing, differing)
    defer { (agreeing, differing) = counts }
    for op in ops {
      for dtype in op.dtypes {
        let name = "\(op.name) in \(dtype.rawValue)"
        guard check(name, &counts, { try op.verify(dtype, on: $0) }) else { return }
      }
    }
    for op in gradients {
      let gradient = { (device: Device) in try GradCheck(elementLimit: 0).verify(op, on: device) }
      guard check("gradient of \(op.name)", &counts, gradient) else { return }
    }
  }
}
