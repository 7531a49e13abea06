// `qwen-sft data …`: looking at data as the model sees it, without any weight.

import ArgumentParser
import SFT

/// The commands on data files.
struct DataCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "data",
    abstract: "Checks, shows, renders and tokenizes training data.",
    subcommands: [DataCheck.self, DataPreview.self, DataRender.self, DataTokenize.self])
}

extension Conversation {
  /// The conversation, which may be one that nothing can be learnt from, such as a question without an answer.
  ///
  /// - Throws: its other ``problem``s with their place.
  func validatedForRendering() throws(DataFault) -> Conversation {
    switch problem {
    case nil, .noAssistantTurn, .noTrainedTurn: return self
    case .some(let problem): throw DataFault(file: file, line: line, problem: problem)
    }
  }
}

/// Calls `body` with the rows of `paths` in the form `format`, some at a time and in order.
///
/// The rows have the form that rendering needs; the rest of what they must keep is not asked for.
///
/// - Throws: ``DataError/noRows(files:)`` where there is none; where a file cannot be read to its end, the reason,
///   after the rows before it.
func forEachBatch(
  ofRowsIn paths: [String], format: DataFormat, _ body: ([ConversationReader.Row]) throws -> Void
) throws {
  let reader = ConversationReader(paths: paths, format: format, isValidating: false)
  var batch: [ConversationReader.Row] = []
  var hasRows = false
  var failure: DataError?
  while failure == nil {
    do throws(DataError) {
      guard let row = try reader.next() else { break }
      batch.append(row)
    } catch { failure = error }
    hasRows = hasRows || !batch.isEmpty
    if batch.count == 512 {
      try body(batch)
      batch.removeAll(keepingCapacity: true)
    }
  }
  if !batch.isEmpty { try body(batch) }
  if let failure { throw failure }
  guard hasRows else { throw DataError.noRows(files: paths) }
}
