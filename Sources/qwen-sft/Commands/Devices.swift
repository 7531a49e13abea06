// `qwen-sft devices`: what there is to compute on.

import ArgumentParser
import OrderedJSON

/// Prints the devices of this machine.
struct Devices: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Shows what there is to run on, with versions and what is missing.")

  @OptionGroup var common: CommonOptions

  @Flag(help: "Print one JSON value.")
  var json = false

  mutating func run() throws {
    try common.startWithoutDevice()
    let catalog = DeviceCatalog.current()
    if json {
      try StandardOutput.write(line: catalog.json.serialized())
    } else {
      try StandardOutput.write(catalog.table)
    }
  }
}
