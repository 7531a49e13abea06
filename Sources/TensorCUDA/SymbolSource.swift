// Where the functions of a C library come from: a shared library opened at run time, or a stand-in in tests.

import Glibc

package import Tensor

/// Functions by their names.
package struct SymbolSource: Sendable {
  /// What is searched, as errors name it: a path or "libcuda.so.1".
  package let name: String
  private let lookup: @Sendable (String) -> UInt?

  /// Functions that `lookup` finds; it gives their addresses.
  package init(name: String, lookup: @escaping @Sendable (String) -> UInt?) {
    self.name = name
    self.lookup = lookup
  }

  /// The first of the libraries that opens and is accepted, nil where none is. It stays open.
  package init?(opening candidates: [String], accepting: (SymbolSource) -> Bool = { _ in true }) {
    for candidate in candidates {
      guard let handle = dlopen(candidate, RTLD_NOW | RTLD_LOCAL) else { continue }
      let address = UInt(bitPattern: handle)
      let source = SymbolSource(name: candidate) { symbol in
        dlsym(UnsafeMutableRawPointer(bitPattern: address), symbol).map { UInt(bitPattern: $0) }
      }
      if accepting(source) {
        self = source
        return
      }
      dlclose(handle)
    }
    return nil
  }

  /// Whether there is such a function.
  package func has(_ symbol: String) -> Bool { lookup(symbol) != nil }

  /// The function of a name, as the C function type that is asked for.
  ///
  /// - Throws: ``DeviceError/unavailable(device:reason:)`` where the library has none of that name.
  package func function<F>(_ symbol: String, as type: F.Type = F.self) throws(DeviceError) -> F {
    guard let address = lookup(symbol), let pointer = UnsafeRawPointer(bitPattern: address) else {
      throw .unavailable(
        device: "cuda", reason: "\(name) has no function \(symbol); it is too old or too new")
    }
    precondition(MemoryLayout<F>.size == MemoryLayout<UnsafeRawPointer>.size, "not a C function")
    return unsafeBitCast(pointer, to: F.self)
  }
}
