// The compiler of CUDA C that runs on the machine at hand. It needs neither a GPU nor a driver.

import Files
import Glibc

package import Tensor

/// NVRTC as a table of functions.
package struct NVRTC: Sendable {
  typealias Program = OpaquePointer
  typealias Text = UnsafePointer<CChar>
  typealias Size = @convention(c) @Sendable (Program?, UnsafeMutablePointer<Int>) -> Int32
  typealias Bytes = @convention(c) @Sendable (Program?, UnsafeMutablePointer<CChar>) -> Int32

  /// The function that gives the version.
  typealias Version =
    @convention(c) (UnsafeMutablePointer<Int32>, UnsafeMutablePointer<Int32>) -> Int32

  /// What is compiled to.
  package enum Output: Sendable {
    /// Machine code of one architecture.
    case cubin
    /// The portable form, which the driver translates.
    case ptx
  }

  /// The library.
  package let source: SymbolSource
  /// Its version, such as "13.0".
  package let version: String
  /// Numbers of the architectures that it compiles for, such as 80 and 90, rising.
  package let architectures: [Int]

  private let errorString: @convention(c) @Sendable (Int32) -> Text?
  private let createProgram:
    @convention(c) @Sendable (
      UnsafeMutablePointer<Program?>, Text, Text?, Int32, UnsafePointer<Text?>?,
      UnsafePointer<Text?>?
    ) -> Int32
  private let destroyProgram: @convention(c) @Sendable (UnsafeMutablePointer<Program?>) -> Int32
  private let compileProgram:
    @convention(c) @Sendable (Program?, Int32, UnsafePointer<Text?>) -> Int32
  private let ptxSize, cubinSize, logSize: Size
  private let ptx, cubin, log: Bytes

  /// Looks all functions up.
  package init(_ source: SymbolSource) throws(DeviceError) {
    self.source = source
    NVRTC.openBuiltins(beside: source.name)
    errorString = try source.function("nvrtcGetErrorString")
    createProgram = try source.function("nvrtcCreateProgram")
    destroyProgram = try source.function("nvrtcDestroyProgram")
    compileProgram = try source.function("nvrtcCompileProgram")
    ptxSize = try source.function("nvrtcGetPTXSize")
    ptx = try source.function("nvrtcGetPTX")
    cubinSize = try source.function("nvrtcGetCUBINSize")
    cubin = try source.function("nvrtcGetCUBIN")
    logSize = try source.function("nvrtcGetProgramLogSize")
    log = try source.function("nvrtcGetProgramLog")
    typealias Numbers = @convention(c) (UnsafeMutablePointer<Int32>) -> Int32
    var major: Int32 = 0
    var minor: Int32 = 0
    _ = try source.function("nvrtcVersion", as: Version.self)(&major, &minor)
    version = "\(major).\(minor)"
    var count: Int32 = 0
    _ = try source.function("nvrtcGetNumSupportedArchs", as: Numbers.self)(&count)
    var numbers = [Int32](repeating: 0, count: max(Int(count), 1))
    _ = try source.function("nvrtcGetSupportedArchs", as: Numbers.self)(&numbers)
    architectures = numbers.prefix(Int(max(count, 0))).map(Int.init).sorted()
  }

  /// libnvrtc opens libnvrtc-builtins by its bare name at the first compilation. One that is loaded under that name
  /// already serves as well, so that a folder which the loader does not know needs no LD_LIBRARY_PATH.
  private static func openBuiltins(beside library: String) {
    let folder = FileSystem.parent(of: library)
    guard library.utf8.contains(0x2F) else { return }
    for entry in (try? FileSystem.list(folder)) ?? []
    where entry.name.utf8.starts(with: "libnvrtc-builtins.so".utf8) {
      _ = dlopen(FileSystem.join(folder, entry.name), RTLD_NOW | RTLD_GLOBAL)
    }
  }

  /// Compiles a text; `headers` are (name, text) of what it includes. The log tells registers and spills where the
  /// options ask for them.
  ///
  /// - Throws: ``DeviceError/failed(call:detail:)`` with the compiler's first lines where it does not compile.
  package func compile(
    _ text: String, name: String, headers: [(name: String, text: String)], options: [String],
    to output: Output
  ) throws(DeviceError) -> (image: [UInt8], log: String) {
    var program: Program?
    let status = withTexts(headers.map(\.text)) { texts in
      withTexts(headers.map(\.name)) { names in
        createProgram(&program, text, name, Int32(headers.count), texts, names)
      }
    }
    try check(status, "nvrtcCreateProgram(\(name))")
    defer { _ = destroyProgram(&program) }
    let result = withTexts(options) { compileProgram(program, Int32(options.count), $0) }
    let log = String(
      decoding: try read(program, logSize, log, "log of \(name)").prefix { $0 != 0 }, as: UTF8.self)
    guard result == 0 else {
      let lines = log.split(separator: "\n").prefix(3).joined(separator: "; ")
      throw .failed(call: "nvrtcCompileProgram(\(name))", detail: "\(words(result)): \(lines)")
    }
    let image =
      switch output {
      case .cubin: try read(program, cubinSize, cubin, "cubin of \(name)")
      case .ptx: try read(program, ptxSize, ptx, "PTX of \(name)")
      }
    return (image, log)
  }

  private func read(_ program: Program?, _ size: Size, _ bytes: Bytes, _ what: String)
    throws(DeviceError) -> [UInt8]
  {
    var count = 0
    try check(size(program, &count), "size of the \(what)")
    var result = [CChar](repeating: 0, count: max(count, 1))
    try check(bytes(program, &result), what)
    return result.map { UInt8(bitPattern: $0) }
  }

  private func words(_ status: Int32) -> String {
    errorString(status).map { String(cString: $0) } ?? "error \(status)"
  }

  private func check(_ status: Int32, _ call: String) throws(DeviceError) {
    if status != 0 { throw .failed(call: "NVRTC, \(call)", detail: words(status)) }
  }

  /// Calls `body` with C strings of the texts.
  private func withTexts<R>(_ texts: [String], _ body: (UnsafePointer<Text?>) -> R) -> R {
    let copies = texts.map { strdup($0) }
    defer { for copy in copies { free(copy) } }
    let pointers = copies.map { UnsafePointer($0) } + [nil]
    return pointers.withUnsafeBufferPointer { buffer in
      guard let base = buffer.baseAddress else { preconditionFailure("it ends with nil") }
      return body(base)
    }
  }
}
