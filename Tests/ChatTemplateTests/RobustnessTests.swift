// Hostile templates end in errors that say where: never a trap, a hang, or memory without bound.

import ChatTemplate
import OrderedJSON
import Testing

@Suite struct RobustnessTests {
  private func outcome(_ source: String, limits: TemplateLimits = TemplateLimits()) -> String {
    do {
      var template = try ChatTemplate(source: source, name: "t")
      template.limits = limits
      let messages: JSON = [["role": "user", "content": "hi é"]]
      return try template.render(context: ["messages": messages]).text
    } catch {
      return "error: \(error)"
    }
  }

  private var tight: TemplateLimits {
    var limits = TemplateLimits()
    limits.steps = 300_000
    limits.allocatedBytes = 64 << 20
    limits.outputBytes = 4 << 20
    return limits
  }

  @Test("Errors name the template, the line and the expression")
  func messages() {
    #expect(
      outcome("a\n{{ 1 }}\n{{ messages.x.y }}")
        == "error: t:3: UndefinedError: 'list object' has no attribute 'x', in 'messages.x.y'")
    #expect(outcome("\n{% if x %}").hasPrefix("error: t:2: Unexpected end of template."))
    #expect(
      outcome("{{ raise_exception('no ' ~ 1) }}")
        == "error: t:1: the template refuses this conversation: no 1")
    #expect(
      outcome("{% for x in [1] %}\n{{ x + 'a' }}{% endfor %}").hasPrefix("error: t:2: TypeError"))
  }

  @Test(
    "Hostile templates are stopped",
    arguments: [
      "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
      "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
      "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
      "{{ 'x' * 10**9 }}", "{{ ['x'] * 10**18 }}", "{{ range(10**9) }}", "{{ 9 ** 999999 }}",
      "{{ '%9999999d' % 1 }}", "{{ '{:9999999999}'.format(1) }}", "{{ 'x'.center(10**12) }}",
      "{{ 'x' | indent(10**15) }}", "{{ [1] | batch(10**12, 1) | list }}",
      "{{ 'a'.replace('', 'x' * 99999) * 9999 }}",
      "{{ ('%(a)s' * 90000) | format(a='x' * 500000) }}",
      "{{ ('{0}' * 90000).format('x' * 500000) }}",
      "{{ [[[1]]] | tojson(indent='x' * 3000000) }}", "{{ [1] | tojson(indent=10**9) }}",
      "{% for i in range(99) %}{% set x = ('a' * 9999)[::-1] %}{% endfor %}",
      "{% set ns = namespace(x=[]) %}{% for i in range(9999) %}{% set ns.x = [ns.x] %}{% endfor %}",
      "{% set ns = namespace(x=[1]) %}{% for i in range(99) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
      "{% set ns = namespace(x='a') %}{% for i in range(99) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
      "{% set ns = namespace() %}{% set ns.a = ns %}{{ ns }}",
      "{% set ns = namespace(g=[1]) %}{% for i in range(9999) %}{% set ns.g = ns.g | map('string') %}{% endfor %}",
    ])
  func hostile(_ source: String) {
    #expect(outcome(source, limits: tight).hasPrefix("error: "))
  }

  @Test("A template may do as much as its input is large")
  func inputBound() throws {
    let loop = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    let stopped = outcome(loop)
    #expect(stopped.contains("more than 10") && stopped.contains(" steps"), "\(stopped)")
    // A pass over each message for every other message of a long conversation.
    let template = try ChatTemplate(
      source: "{% for m in messages %}{% for n in messages %}{% if n.role %}{% endif %}{% endfor %}"
        + "{{ m.content }}{% endfor %}", name: "t")
    let messages: [JSON] = (0..<1000).map { _ in ["role": "user", "content": "x"] }
    #expect(try template.render(context: ["messages": .array(messages)]).text.utf8.count == 1000)
  }

  @Test("Deep nesting of the source is an error")
  func deepSource() {
    for unit in ["(", "[", "{'a':", "-", "not ", "a(", "a[", "1 if "] {
      let source = "{{ " + String(repeating: unit, count: 20_000)
      #expect(outcome(source).hasPrefix("error: "), "\(unit)")
    }
    for unit in ["+1", ".b", "|trim", "[0]", "()", " is none", " if 1 else 2", " and 1"] {
      let source = "{{ a" + String(repeating: unit, count: 20_000) + " }}"
      #expect(outcome(source).hasPrefix("error: "), "\(unit)")
    }
    for tag in ["if 1", "for x in y", "macro m()", "call m()", "filter trim", "with", "set x"] {
      #expect(outcome(String(repeating: "{% \(tag) %}", count: 20_000)).hasPrefix("error: "))
    }
  }

  @Test("Numbers at the edges do not trap")
  func edges() {
    #expect(
      outcome("{{ 9223372036854775807 + 1 }} {{ -9223372036854775807 - 2 }}")
        == "9223372036854775808 -9223372036854775809")
    #expect(
      outcome("{{ (-9223372036854775807 - 1) // -1 }} {{ (-9223372036854775807 - 1) % -1 }}")
        == "9223372036854775808 0")
    #expect(
      outcome("{{ 'abc'[::-9223372036854775807] }}{{ [1, 2][9223372036854775807:] }}") == "c[]")
    #expect(
      outcome("{{ range(0, 9223372036854775807, 9223372036854775806)[1:] | list }}")
        == "[9223372036854775806]")
    #expect(
      outcome(
        "{{ 123456789012345678901234567890 // 7 }} {{ 2 ** 100 % 97 }} {{ 10 ** 30 / 10 ** 29 }}")
        == "17636684144620811271604938270 16 10.0")
    #expect(
      outcome("{{ 'x'.find('', 5) }} {{ '%c' % 233 }} {{ 1e400 }} {{ (1e400 - 1e400) }}")
        == "-1 é inf nan")
  }

  @Test("Damaged templates give a render or an error")
  func mutations() throws {
    var generator = SeededGenerator(state: 20_240_607)
    let names = ["chatml.jinja", "tools.jinja", "generation.jinja"]
    let sources = try names.map { String(decoding: try TestData.fixture($0), as: UTF8.self) }
    let tokens = [
      "{%", "%}", "{{", "}}", "{#", "#}", "-", "+", "(", ")", "[", "]", "|", ".", ":", "**", "~",
      "if",
      "for", "in", "is", "not", "else", "endif", "endfor", "macro", "call", "set", "loop",
      "recursive",
      "range(99999)", "99999999999999999999", "'", "\\", "é", "raw", "endraw", "| tojson", "*[1]*9",
      "messages", "caller()",
    ]
    var renders = 0
    for _ in 0..<1500 {
      var text = Array(sources.randomElement(using: &generator) ?? "")
      for _ in 0..<Int.random(in: 1...4, using: &generator) {
        let place = Int.random(in: 0...text.count, using: &generator)
        switch Int.random(in: 0..<4, using: &generator) {
        case 0: text.removeSubrange(place..<min(text.count, place + 4))
        case 1: text.insert(contentsOf: tokens.randomElement(using: &generator) ?? "", at: place)
        case 2: text.removeSubrange(place...)
        default:
          let start = Int.random(in: 0...text.count, using: &generator)
          text.insert(contentsOf: Array(text[start..<min(text.count, start + 40)]), at: place)
        }
      }
      if !outcome(String(text), limits: tight).hasPrefix("error: ") { renders += 1 }
    }
    // Some mutations leave a template whole; if none did, the test would test nothing.
    #expect(renders > 50)
  }

  @Test("strftime_now tells the time it is given")
  func clock() throws {
    var template = try ChatTemplate(
      source: "{{ strftime_now('%d %b %Y %H:%M:%S %j %A %p %-d %G-%V %U') }}")
    template.clock = TemplateClock(year: 2024, month: 7, day: 6, hour: 13, minute: 5, second: 9)
    let text = try template.render(context: JSONObject()).text
    #expect(text == "06 Jul 2024 13:05:09 188 Saturday PM 6 2024-27 26")
  }
}
