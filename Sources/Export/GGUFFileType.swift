// Which type each tensor of a GGUF file gets: the rules of llama.cpp's converter and quantizer.

package import GGUF

/// The mixture of types of a file; the raw value is the name on the command line.
package enum GGUFFileType: String, Sendable, Hashable, CaseIterable {
  /// All in single precision.
  case f32
  /// Matrices in half precision or in bfloat16.
  case f16, bf16
  /// Matrices in blocks of 8-bit integers.
  case q8_0
  /// Matrices in 4 bits, the more sensitive ones in 6 (llama.cpp's Q4_K_M).
  case q4_k_m

  /// `general.file_type`.
  var number: UInt32 {
    switch self {
    case .f32: 0
    case .f16: 1
    case .q8_0: 7
    case .q4_k_m: 15
    case .bf16: 32
    }
  }

  /// The type of tensor `name` of extents `shape` in a model of `layerCount` blocks, whose head is the embedding where
  /// `isTied`.
  package func type(of name: String, shape: [Int], layerCount: Int, isTied: Bool) -> GGMLType {
    guard shape.count > 1, let columns = shape.last else { return .f32 }
    let wanted: GGMLType =
      switch self {
      case .f32: .f32
      case .f16: .f16
      case .bf16: .bf16
      case .q8_0: .q8_0
      case .q4_k_m: Self.mixedType(of: name, layerCount: layerCount, isTied: isTied)
      }
    return Self.fitting(wanted, columns: columns)
  }

  /// Six bits for the head, and for attn_v and ffn_down of the first and last eighth of the blocks and every third between.
  private static func mixedType(of name: String, layerCount: Int, isTied: Bool) -> GGMLType {
    if name == (isTied ? "token_embd.weight" : "output.weight") { return .q6_K }
    guard name.hasSuffix(".attn_v.weight") || name.hasSuffix(".ffn_down.weight") else {
      return .q4_K
    }
    let parts = name.split(separator: ".")
    guard parts.count > 1, let layer = Int(parts[1]) else { return .q4_K }
    let eighth = layerCount / 8
    let isSensitive =
      layer < eighth || layer >= 7 * layerCount / 8 || (layer - eighth) % 3 == 2
    return isSensitive ? .q6_K : .q4_K
  }

  /// `type`, or the nearest whose blocks fit rows of `columns`.
  private static func fitting(_ type: GGMLType, columns: Int) -> GGMLType {
    if columns % type.blockLength == 0 { return type }
    switch type {
    case .q4_K: return fitting(.q5_0, columns: columns)
    case .q6_K: return fitting(.q8_0, columns: columns)
    default: return .f16
    }
  }

  /// What a check against the original allows unless told otherwise: the greatest mean Kullback–Leibler divergence (nats),
  /// and the least share of tokens for which both have the same first choice.
  package var tolerance: (divergence: Double, agreement: Double) {
    switch self {
    case .f32: (1e-6, 0.995)
    case .f16: (1e-3, 0.98)
    case .bf16: (0.01, 0.95)
    case .q8_0: (0.02, 0.93)
    case .q4_k_m: (0.3, 0.7)
    }
  }
}
