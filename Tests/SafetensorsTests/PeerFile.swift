// A file as the reference implementation writes it (safetensors 0.8.0, `safetensors.torch.save_file` of twelve
// small tensors with metadata {"format": "pt"}), as text, so that the tests need nothing beside them.

enum PeerFile {
  static let header =
    #"{"__metadata__":{"format":"pt"},"i64":{"dtype":"I64","shape":[2],"data_offsets":[0,16]},"#
    + #""d":{"dtype":"F64","shape":[2,1],"data_offsets":[16,32]},"#
    + #""empty":{"dtype":"F32","shape":[0,3],"data_offsets":[32,32]},"#
    + #""scalar":{"dtype":"F32","shape":[],"data_offsets":[32,36]},"#
    + #""é":{"dtype":"F32","shape":[2],"data_offsets":[36,44]},"#
    + #""i32":{"dtype":"I32","shape":[1],"data_offsets":[44,48]},"#
    + #""a.bf16":{"dtype":"BF16","shape":[2,2],"data_offsets":[48,56]},"#
    + #""b.half":{"dtype":"F16","shape":[10],"data_offsets":[56,76]},"#
    + #""i16":{"dtype":"I16","shape":[1],"data_offsets":[76,78]},"#
    + #""i8":{"dtype":"I8","shape":[1],"data_offsets":[78,79]},"#
    + #""u8":{"dtype":"U8","shape":[3],"data_offsets":[79,82]},"#
    + #""bool":{"dtype":"BOOL","shape":[2],"data_offsets":[82,84]}}"#

  static let data: [UInt8] = {
    let text = Array(
      ("ffffffffffffffff00000000000100009a9999999999b93f9c7500883ce4377e000028420000c03f000010c0"
        + "07000000803f49c06d00627f00000080003c00c1ff7b0100ff03007c00fc5535d4fefbc801020100").utf8)
    return stride(from: 0, to: text.count, by: 2).map { index in
      UInt8(String(decoding: text[index...index + 1], as: UTF8.self), radix: 16) ?? 0
    }
  }()

  /// The whole file: 820 bytes, its header padded by spaces to a multiple of 8.
  static var bytes: [UInt8] { file(header, data: data, padding: true) }

  /// A file of the given header and data.
  static func file(_ header: String, data: [UInt8] = [], padding: Bool = false) -> [UInt8] {
    var json = Array(header.utf8)
    while padding, json.count % 8 != 0 { json.append(0x20) }
    return (0..<8).map { UInt8(truncatingIfNeeded: json.count >> (8 * $0)) } + json + data
  }
}
