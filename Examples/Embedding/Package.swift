// swift-tools-version: 6.2

import PackageDescription

let package = Package(
  name: "embedding",
  platforms: [.macOS(.v15)],
  dependencies: [.package(name: "qwen-sft", path: "../..")],
  targets: [
    .executableTarget(
      name: "embedding", dependencies: [.product(name: "QwenSFT", package: "qwen-sft")]),
    .executableTarget(
      name: "callback", dependencies: [.product(name: "QwenSFT", package: "qwen-sft")]),
  ],
  swiftLanguageModes: [.v6])
