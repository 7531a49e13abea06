// Rows of plain text as token ids and labels: no template, an end-of-text token after the text, and of a prompt
// with a completion only the completion trained (TRL's semantics).

import OrderedJSON
import Tokenizer

extension ConversationEncoder {
  /// The completion with the end-of-text token, unless it ends with it.
  func completion(of text: Conversation.PlainText, in conversation: Conversation)
    throws(DataError) -> String
  {
    guard let end = tokenizer.roleTokens["eos_token"], !end.isEmpty else {
      throw .fault(
        DataFault(file: conversation.file, line: conversation.line, problem: .noEndOfText))
    }
    let hasEnd = text.completion.utf8.suffix(end.utf8.count).elementsEqual(end.utf8)
    return hasEnd ? text.completion : text.completion + end
  }

  /// Ids and labels of plain text: prompt and completion are encoded as one text, and the completion begins
  /// where its ids and those of the prompt alone part.
  func encode(_ text: Conversation.PlainText, of conversation: Conversation) throws(DataError)
    -> Encoded
  {
    let completion = try completion(of: text, in: conversation)
    let ids = tokenizer.encode(text.prompt + completion)
    let promptIDs = text.prompt.isEmpty ? [] : tokenizer.encode(text.prompt)
    let boundary = zip(ids, promptIDs).prefix { $0 == $1 }.count
    let row = EncodedRow(ids, isTrained: ids.indices.map { $0 >= boundary }, conversation)
    let merged = promptIDs[boundary...]
    return Encoded(
      row: row,
      mergedBoundary: merged.isEmpty ? nil : RowProblem.shortened(tokenizer.decode(Array(merged))))
  }
}
