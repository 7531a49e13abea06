// Gzip data as plain bytes, some at a time and in constant memory: RFC 1952 with any number of members. It
// writes nothing, and other forms of zlib's data are not taken.

import CZlib

/// The state of unpacking one stream of gzip members.
final class Inflater {
  /// Why data cannot be unpacked, in words.
  struct Failure: Error {
    let problem: String
    /// What to do about it.
    var hint = "copy the file again"
  }

  /// The two bytes that gzip data begins with.
  static let magic: [UInt8] = [0x1F, 0x8B]

  private let stream: UnsafeMutablePointer<z_stream>
  /// Whether a member has begun that has not ended.
  private(set) var isInMember = true
  /// Whether what follows the last member is padding.
  private var isInPadding = false

  init() throws(Failure) {
    stream = .allocate(capacity: 1)
    stream.initialize(to: z_stream())
    if qwen_sft_inflate_init(stream) != Z_OK {
      stream.deallocate()
      throw Failure(problem: "zlib cannot begin", hint: "is there memory left?")
    }
  }

  deinit {
    inflateEnd(stream)
    stream.deallocate()
  }

  /// Unpacks from `input[range]` into `output`, both as far as they go.
  ///
  /// What is whole before damaged data is read and written first; the call after that throws.
  ///
  /// - Returns: how many bytes were read and how many written.
  func inflate(_ input: [UInt8], _ range: Range<Int>, into output: inout [UInt8]) throws(Failure)
    -> (read: Int, written: Int)
  {
    if !isInMember {
      // Zeros fill up the last block of a tape; anything else begins another member.
      let zeros = input[range].prefix { $0 == 0 }.count
      if zeros > 0 { isInPadding = true }
      if zeros == range.count { return (zeros, 0) }
      if isInPadding || inflateReset(stream) != Z_OK {
        throw Failure(problem: "something follows the end of the gzip data", hint: "cut it off")
      }
      isInMember = true
    }
    let count = (read: range.count, written: output.count)
    let code: Int32 = input.withUnsafeBufferPointer { source in
      output.withUnsafeMutableBufferPointer { target in
        // zlib only reads through next_in, which is not const for the sake of old compilers.
        stream.pointee.next_in = UnsafeMutablePointer(
          mutating: source.baseAddress.map { $0 + range.lowerBound })
        stream.pointee.avail_in = UInt32(clamping: count.read)
        stream.pointee.next_out = target.baseAddress
        stream.pointee.avail_out = UInt32(clamping: count.written)
        return CZlib.inflate(stream, Z_NO_FLUSH)
      }
    }
    let done = (
      read: count.read - Int(stream.pointee.avail_in),
      written: count.written - Int(stream.pointee.avail_out)
    )
    // zlib stays at the fault, so that the next call meets it again, with nothing read.
    if code == Z_DATA_ERROR, done != (0, 0) { return done }
    switch code {
    case Z_OK, Z_BUF_ERROR: break
    case Z_STREAM_END: isInMember = false
    case Z_MEM_ERROR:
      throw Failure(problem: "zlib has no memory left", hint: "close other programs")
    default:
      let words = stream.pointee.msg.map { String(cString: $0) } ?? "error \(code)"
      throw Failure(problem: "the gzip data is damaged: \(words)")
    }
    return done
  }
}
