// Patterns of module paths: what PEFT's regular expressions match, and what nobody should be able to make of them.

import NN
import Testing

@Suite("Module patterns")
struct ModulePatternTests {
  @Test(
    "what is not understood is an error that names the pattern",
    arguments: [
      "(", ")", "a)", "(a", "[a", "*a", "a**", "a\\", "(?=a)", "(?!a)", "(?i)a", "\\b", "\\1",
      "a{3,2}",
      "a{1001}", "[z-a]", "[é]", "é\\é", String(repeating: "(", count: 60), "(?<!a)b",
      String(repeating: "a", count: 4097), "((a{1000}){1000}){1000}",
      "((((){1000}){1000}){1000}){1000}",
    ])
  func refused(_ source: String) {
    let error = #expect(throws: ModulePatternError.self) { try ModulePattern(source) }
    #expect(
      error?.description.contains(String(source.prefix(8)).debugDescription.dropLast()) == true)
  }

  @Test("no pattern makes matching slow")
  func hostile() throws {
    let path = String(repeating: "a", count: 2000)
    for source in ["(a+)+b", "(a|a)*b", "(a?){500}a{500}b", "(.*)*x", "(((a*)*)*)*b"] {
      let pattern = try ModulePattern(source)
      let elapsed = ContinuousClock().measure { #expect(!pattern.matches(path)) }
      #expect(elapsed < .seconds(20), "\(source)")
    }
    #expect(try ModulePattern("(a+)+").matches(path))
  }

  @Test("letters beyond ASCII match themselves")
  func unicode() throws {
    #expect(try ModulePattern("schicht_ä").matches("model.schicht_ä"))
    #expect(!(try ModulePattern("schicht_ä").matches("model.schicht_ö")))
  }

  @Test("the first pattern that matches counts")
  func order() throws {
    var values = ModuleValues<Int>()
    values.append(try ModulePattern("0\\..*"), 4)
    values.append(try ModulePattern("q_proj"), 2)
    #expect(values.value(for: "layers.0.q_proj") == 4)
    #expect(values.value(for: "layers.1.q_proj") == 2)
    #expect(values.value(for: "layers.1.k_proj") == nil)
    #expect(values.mapValues { 2 * $0 }.value(for: "layers.1.q_proj") == 4)
  }
}
