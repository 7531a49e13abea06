// The devices that tests run on. Besides the executable this is the only place that names them.

package import Tensor

/// Where operations are tested.
package enum TestDevices {
  /// Every device of this machine.
  package static let all: [Device] = [.cpu]
}
