// The optimizers by transformers' names.

import Tensor

/// What updates the parameters.
public enum OptimizerKind: String, Sendable, Hashable, CaseIterable {
  /// AdamW with moments in float32.
  case adamw
  /// AdamW with moments in 8 bits, as bitsandbytes has them.
  case adamw8Bit = "adamw_8bit"

  /// The optimizer of a name of transformers; nil for one that is another optimizer, or none.
  ///
  /// Names that differ in who computes the same update, or in where a GPU's driver keeps the moments, mean the same.
  public init?(name: String) {
    switch name {
    case "adamw", "adamw_torch", "adamw_torch_fused", "paged_adamw_32bit": self = .adamw
    case "adamw_8bit", "adamw_bnb_8bit", "paged_adamw_8bit": self = .adamw8Bit
    default: return nil
    }
  }

  /// Parameters of tensors with fewer keep moments in float32.
  package static let smallest8BitCount = 4096

  /// Whether the moments of a parameter are in 8 bits: of embeddings they are not, as in transformers.
  package func keeps8Bits(key: String, count: Int) -> Bool {
    self == .adamw8Bit && count >= OptimizerKind.smallest8BitCount
      && !key.hasSuffix("embed_tokens.weight")
  }

  /// Bytes of both moments of a parameter.
  package func momentByteCount(key: String, count: Int) -> Int {
    2 * Moment.byteCount(count, in8Bits: keeps8Bits(key: key, count: count))
  }
}
