// config.json: the forms in which the angles of rotation are given.

import Files
import OrderedJSON
import QwenModel
import Testing

@Suite("Settings of models")
struct ConfigTests {
  /// The settings of a fixture with other fields for its angles.
  private func config(_ fields: [(String, JSON)]) throws -> QwenConfig {
    let path = Goldens.fixtures + "/tiny-qwen3/config.json"
    var object = try #require(try JSON.parse(FileSystem.readFile(path)).objectValue)
    for key in ["rope_parameters", "rope_scaling", "rope_theta"] { object[key] = nil }
    for (key, value) in fields { object[key] = value }
    return try QwenConfig(json: JSON.object(object).serializedBytes())
  }

  @Test("angles are read in both forms")
  func rotation() throws {
    #expect(try config([]).ropeTheta == 10_000)
    #expect(try config([("rope_theta", 5e6), ("rope_scaling", .null)]).ropeTheta == 5e6)
    #expect(
      try config([("rope_parameters", ["rope_type": "default", "rope_theta": 1e6])]).ropeTheta
        == 1e6)
  }

  @Test(
    "angles of other kinds, and of kinds of layers, are errors",
    arguments: [
      ["rope_type": "yarn", "factor": 4], ["type": "linear", "factor": 2],
      ["full_attention": ["rope_type": "default", "rope_theta": 5e6]], [1],
    ] as [JSON])
  func otherRotation(parameters: JSON) throws {
    for key in ["rope_parameters", "rope_scaling"] {
      let error = #expect(throws: ModelError.self) { try config([(key, parameters)]) }
      #expect(error?.description.contains(key) == true)
    }
  }
}
