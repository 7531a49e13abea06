// The name of a kernel: where it is, what it does, and the element types it does it for.

import Tensor

/// A kernel by file, name and element types. Made where it is launched; the driver's handle is looked up once.
package struct Kernel: Hashable, Sendable {
  /// What a kernel's name ends with.
  package enum Suffix: UInt8, Sendable {
    case none, f32, f64, bf16, f16, i32, u8, b8, b16, b32, b64

    /// The suffix of an element type.
    init(_ dtype: DType) {
      self =
        switch dtype {
        case .float32: .f32
        case .float64: .f64
        case .bfloat16: .bf16
        case .float16: .f16
        case .int32: .i32
        case .uint8: .u8
        }
    }

    /// The suffix of elements that are only moved, by their width in bytes.
    init(width: Int) {
      self =
        switch width {
        case 1: .b8
        case 2: .b16
        case 4: .b32
        default: .b64
        }
    }

    var text: String { self == .none ? "" : "_\(self)" }
  }

  /// The file without its ending.
  let file: StaticString
  private let base: StaticString
  private let first, second: Suffix

  /// The kernel of a file with a name and suffixes.
  package init(
    _ file: StaticString, _ base: StaticString, _ first: Suffix, _ second: Suffix = .none
  ) {
    self.file = file
    self.base = base
    self.first = first
    self.second = second
  }

  init(_ file: StaticString, _ base: StaticString, _ dtype: DType) {
    self.init(file, base, Suffix(dtype))
  }

  init(_ file: StaticString, _ base: StaticString, _ first: DType, _ second: DType) {
    self.init(file, base, Suffix(first), Suffix(second))
  }

  /// The name in the file.
  var name: String { "\(base)\(first.text)\(second.text)" }

  // By address: a literal that stands in two places is looked up twice and works as well.
  package static func == (a: Kernel, b: Kernel) -> Bool {
    a.base.utf8Start == b.base.utf8Start && a.first == b.first && a.second == b.second
  }

  package func hash(into hasher: inout Hasher) {
    hasher.combine(UInt(bitPattern: base.utf8Start))
    hasher.combine(UInt16(first.rawValue) << 8 | UInt16(second.rawValue))
  }
}
