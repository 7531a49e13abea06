// Records of a TensorBoard event file (tensorflow/core/util/event.proto and summary.proto), framed as TFRecord. Files
// and clocks are the caller's business.

/// One event of a TensorBoard event file.
package struct EventRecord: Sendable, Hashable {
  /// What an event says.
  package enum Content: Sendable, Hashable {
    /// The format's version; the first event of every file.
    case fileVersion
    /// A session begins: readers forget what they have of this step and the ones behind it.
    case sessionStart
    /// Scalars by tag.
    case scalars([Scalar])
    /// A text, Markdown, as TensorBoard's text plug-in shows it.
    case text(tag: String, String)
  }

  /// A value with its tag, such as "train/loss". It is kept in single precision, as the format has it.
  package struct Scalar: Sendable, Hashable {
    /// The name of the curve.
    package var tag: String
    /// The value.
    package var value: Double

    /// A value of the curve `tag`.
    package init(tag: String, value: Double) { (self.tag, self.value) = (tag, value) }
  }

  /// Seconds since 1970.
  package var wallTime: Double
  /// The training step.
  package var step: Int
  /// What it says.
  package var content: Content

  /// An event of `step` at `wallTime`.
  package init(wallTime: Double, step: Int, _ content: Content) {
    (self.wallTime, self.step, self.content) = (wallTime, step, content)
  }

  /// The record as it stands in a file: length, its masked CRC-32C, the event, its masked CRC-32C.
  package var bytes: [UInt8] {
    let data = message.bytes
    let length = Self.littleEndian(UInt64(data.count))
    return length + Self.littleEndian(CRC32C.masked(length)) + data
      + Self.littleEndian(CRC32C.masked(data))
  }

  /// The event's message. Step 0 is left out, as the format has it for zeros.
  private var message: ProtobufMessage {
    var event = ProtobufMessage()
    event.add(1, double: wallTime)
    if step != 0 { event.add(2, varint: Int64(step)) }
    switch content {
    case .fileVersion: event.add(3, text: "brain.Event:2")
    case .sessionStart:
      var session = ProtobufMessage()
      session.add(1, varint: 1)
      event.add(7, message: session)
    case .scalars(let scalars):
      var summary = ProtobufMessage()
      for scalar in scalars {
        var value = ProtobufMessage()
        value.add(1, text: scalar.tag)
        value.add(2, float: Float(scalar.value))
        summary.add(1, message: value)
      }
      event.add(5, message: summary)
    case .text(let tag, let text):
      var summary = ProtobufMessage()
      summary.add(1, message: Self.value(text, tag: tag))
      event.add(5, message: summary)
    }
    return event
  }

  /// A tensor of one string with the text plug-in's mark, under the tag that torch's `add_text` gives it.
  private static func value(_ text: String, tag: String) -> ProtobufMessage {
    var (plugin, metadata) = (ProtobufMessage(), ProtobufMessage())
    plugin.add(1, text: "text")
    metadata.add(1, message: plugin)
    var (dimension, shape, tensor) = (ProtobufMessage(), ProtobufMessage(), ProtobufMessage())
    dimension.add(1, varint: 1)
    shape.add(2, message: dimension)
    tensor.add(1, varint: 7)  // DT_STRING
    tensor.add(2, message: shape)
    tensor.add(8, text: text)
    var value = ProtobufMessage()
    value.add(1, text: tag + "/text_summary")
    value.add(8, message: tensor)
    value.add(9, message: metadata)
    return value
  }

  private static func littleEndian(_ value: some FixedWidthInteger) -> [UInt8] {
    stride(from: 0, to: value.bitWidth, by: 8).map { UInt8(truncatingIfNeeded: value >> $0) }
  }
}
