// How conversations become text and labels, as far as the command line has a say in it.

public import ArgumentParser
import ChatTemplate
import OrderedJSON
public import SFT

extension TrainedTurns: ExpressibleByArgument {}

/// What is done with the reasoning of assistant turns.
enum ThinkingPolicy: String, CaseIterable, ExpressibleByArgument {
  /// The template decides.
  case asRendered = "as_rendered"
  /// It is left out before rendering.
  case strip
}

/// `--train_on`, `--train_thinking` and `--template_kwargs`.
struct EncodingOptions: ParsableArguments {
  @Option(help: ArgumentHelp("Assistant turns to train.", valueName: "turns"))
  var trainOn = TrainedTurns.all

  @Option(help: ArgumentHelp("Reasoning in assistant turns.", valueName: "policy"))
  var trainThinking = ThinkingPolicy.asRendered

  @Option(
    help: ArgumentHelp(
      "Variables for the chat template, such as '{\"enable_thinking\": false}'.", valueName: "json")
  )
  var templateKwargs: String?

  mutating func validate() throws { _ = try Self.variables(templateKwargs) }

  /// The variables that `--template_kwargs` gives as `text`.
  static func variables(_ text: String?) throws -> JSONObject {
    guard let text else { return [:] }
    let value: JSON
    do throws(JSONError) { value = try JSON.parse(text) } catch {
      throw ValidationError("--template_kwargs: expected a JSON object: \(error.description)")
    }
    guard case .object(let object) = value else {
      throw ValidationError(
        "--template_kwargs: expected a JSON object, found \(value.kindDescription)")
    }
    for name in ChatTemplate.reservedNames where object[name] != nil {
      throw ValidationError(
        "--template_kwargs: expected variables of the template's own, found \"\(name)\" "
          + "(rendering sets \(ChatTemplate.reservedNames.joined(separator: ", ")) itself)")
    }
    return object
  }

  /// The encoder of the model in `folder`.
  func encoder(folder: String) throws -> ConversationEncoder {
    var encoder = try ConversationEncoder(folder: folder, variables: Self.variables(templateKwargs))
    encoder.trainedTurns = trainOn
    return encoder
  }

  /// A conversation as it is to be rendered.
  func prepared(_ conversation: Conversation) -> Conversation {
    trainThinking == .strip ? conversation.withoutThinking() : conversation
  }
}
