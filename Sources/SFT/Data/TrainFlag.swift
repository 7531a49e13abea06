// Whether a message is trained, where the row says so: OpenAI's `weight` (0 or 1) or `train` (a boolean).

import OrderedJSON

/// Reading the flags of a message.
enum TrainFlag {
  static let weightKey = "weight"
  static let trainKey = "train"

  /// The flag of `message`, taken out of it so that no template sees it; nil where there is none.
  static func take(from message: inout JSONObject, place: String) throws(RowFault) -> Bool? {
    var flag: Bool?
    if let value = message.removeValue(forKey: weightKey), !value.isNull {
      switch value.doubleValue {
      case 0: flag = false
      case 1: flag = true
      default:
        throw RowFault(
          .badTrainFlag(
            place: "\(place).\(weightKey)", problem: "expected 0 or 1, found \(shown(value))"))
      }
    }
    if let value = message.removeValue(forKey: trainKey), !value.isNull {
      guard case .bool(let isTrained) = value else {
        throw RowFault(
          .badTrainFlag(
            place: "\(place).\(trainKey)", problem: "expected true or false, found \(shown(value))")
        )
      }
      if let flag, flag != isTrained {
        throw RowFault(
          .badTrainFlag(place: place, problem: "weight and train contradict each other"))
      }
      flag = isTrained
    }
    if flag == true, let role = message["role"]?.stringValue, role != "assistant" {
      throw RowFault(
        .badTrainFlag(
          place: place,
          problem:
            "only assistant turns can be trained, not one of \(RowProblem.shortened(role).debugDescription)"
        ))
    }
    return flag
  }

  private static func shown(_ value: JSON) -> String {
    switch value {
    case .integer, .number, .bigInteger, .bool: RowProblem.shortened(value.serialized())
    default: value.kindDescription
    }
  }
}
