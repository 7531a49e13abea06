// Rows from anywhere: files, a database, a generator. A source gives one after the other; conversations are encoded
// as they come, so that never all of them are in memory.

/// What a data source gives.
public enum TrainingItem: Sendable {
  /// A conversation, still to be rendered and encoded.
  case conversation(Conversation)
  /// Tokens with labels, taken as they are.
  case row(EncodedRow)
}

/// Something that gives rows for training, one after the other.
public protocol TrainingDataSource {
  /// The next row; nil after the last.
  mutating func next() throws -> TrainingItem?
}

/// The conversations of data files, as `--data_path` names them.
public struct DataFileSource: TrainingDataSource {
  private let reader: ConversationReader

  /// A source of the rows of `paths`, each JSONL or a JSON array, in their order.
  public init(paths: [String], format: DataFormat = .auto) {
    reader = ConversationReader(paths: paths, format: format)
  }

  /// The next row.
  ///
  /// - Throws: ``DataError`` at an unusable row.
  public mutating func next() throws -> TrainingItem? {
    guard let row = try reader.next() else { return nil }
    switch row.conversation {
    case .success(let conversation): return .conversation(conversation)
    case .failure(let fault): throw DataError.fault(fault)
    }
  }
}

extension ConversationEncoder {
  /// Conversations that are held at a time.
  private static let itemsPerPass = 1024

  /// The rows to train on that `source` gives, in order. Conversations are encoded on all worker threads, some at a time.
  ///
  /// - Throws: what `source` throws, and ``DataError`` as ``trainingRows(_:maximumLength:truncation:)`` does.
  public func trainingRows(
    from source: inout some TrainingDataSource, maximumLength: Int? = nil,
    truncation: Truncation = .keepStart
  ) throws -> (rows: [EncodedRow], report: Report) {
    var collector = RowCollector(maximumLength: maximumLength, truncation: truncation)
    var hasEnded = false
    while !hasEnded {
      var items: [TrainingItem] = []
      while items.count < Self.itemsPerPass {
        guard let item = try source.next() else {
          hasEnded = true
          break
        }
        items.append(item)
      }
      let conversations = items.compactMap { item in
        if case .conversation(let conversation) = item { conversation } else { nil }
      }
      var encoded = try encode(conversations).makeIterator()
      for item in items {
        switch item {
        case .row(let row): try collector.add(row)
        case .conversation: if let next = encoded.next() { try collector.add(next) }
        }
      }
    }
    return try collector.result()
  }
}
