// swift-tools-version: 6.2
// The manifest is the proof of the layering: a target can import only what is listed here, and every
// arrow points downward (Docs/Architecture.md, "Layers").

import PackageDescription

let package = Package(
  name: "qwen-sft",
  platforms: [.macOS(.v15)],
  products: [
    .library(
      name: "QwenSFT",
      targets: [
        "OrderedJSON", "Tensor", "Autograd", "NN", "Safetensors", "Tokenizer", "ChatTemplate",
        "QwenModel", "SFT",
      ]),
    .executable(name: "qwen-sft", targets: ["qwen-sft"]),
    .executable(name: "tensor-bench", targets: ["tensor-bench"]),
  ],
  traits: [
    .default(enabledTraits: ["OneDNN"]),
    .trait(
      name: "OneDNN",
      description:
        "Matrix products on libgomp's threads, by kernels of this package and oneDNN (libdnnl-dev); without it all go through OpenBLAS."
    ),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
    .package(url: "https://github.com/apple/swift-collections", from: "1.1.0"),
    .package(url: "https://github.com/jpsim/Yams", from: "6.2.0"),
    .package(url: "https://github.com/apple/swift-crypto", from: "4.5.0"),
    // For `serve` alone: nothing that the library product consists of depends on it.
    .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.0", traits: []),
    .package(url: "https://github.com/apple/swift-nio", from: "2.101.0"),
    .package(url: "https://github.com/apple/swift-nio-extras", from: "1.34.0"),
    .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0", traits: []),
    .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
  ],
  targets: [
    // System libraries.
    .systemLibrary(
      name: "COpenBLAS", pkgConfig: "openblas", providers: [.apt(["libopenblas-dev"])]),
    .systemLibrary(name: "COneDNN", providers: [.apt(["libdnnl-dev"])]),
    .systemLibrary(name: "CLAPACKE", pkgConfig: "lapacke", providers: [.apt(["liblapacke-dev"])]),
    .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
    .systemLibrary(
      name: "CCurl", pkgConfig: "libcurl", providers: [.apt(["libcurl4-openssl-dev"])]),

    // Leaves: no dependency on Tensor.
    .target(name: "Files", dependencies: ["CZlib"]),
    .target(
      name: "OrderedJSON",
      dependencies: [.product(name: "OrderedCollections", package: "swift-collections")]),
    .target(name: "Tokenizer", dependencies: ["Files", "OrderedJSON"]),
    .target(name: "ChatTemplate", dependencies: ["OrderedJSON"]),
    // What a run looks like: event files, a page, a card. Text and bytes from plain values.
    .target(name: "Report", dependencies: ["OrderedJSON"]),

    // The numeric chain.
    // Kernels that need the processor's own instructions, chosen when they run.
    .target(name: "CKernels"),
    .target(
      name: "Tensor",
      dependencies: [
        "CKernels", "COpenBLAS", "CLAPACKE",
        .target(name: "COneDNN", condition: .when(traits: ["OneDNN"])),
      ]),
    // The GPU: its kernels as text, and the device, whose libraries are opened when it is asked for.
    .target(name: "CUDAKernels", exclude: ["kernels", "portable"]),
    .target(name: "TensorCUDA", dependencies: ["CUDAKernels", "Tensor", "Files"]),
    .target(name: "Safetensors", dependencies: ["Tensor", "Files", "OrderedJSON"]),
    .target(name: "Autograd", dependencies: ["Tensor"]),
    .target(name: "NN", dependencies: ["Autograd", "Tensor"]),
    .target(
      name: "QwenModel",
      dependencies: [
        "NN", "Autograd", "Tensor", "Safetensors", "Files", "OrderedJSON",
        .product(name: "Crypto", package: "swift-crypto"),
      ]),
    .target(
      name: "SFT",
      dependencies: [
        "QwenModel", "NN", "Autograd", "Tensor", "Safetensors", "Tokenizer", "ChatTemplate",
        "Files", "OrderedJSON",
        .product(name: "Logging", package: "swift-log"),
      ]),
    // What becomes of a trained model: merged checkpoints, GGUF files, adapters in other forms.
    .target(name: "GGUF", dependencies: ["Tensor", "Files"]),
    .target(
      name: "Export",
      dependencies: [
        "GGUF", "SFT", "QwenModel", "NN", "Autograd", "Tensor", "Safetensors", "Tokenizer",
        "ChatTemplate", "Files", "OrderedJSON",
      ]),
    // Model repositories, from a hub to the Hugging Face cache: nobody else opens a connection.
    .target(
      name: "Hub",
      dependencies: [
        "Files", "OrderedJSON", "CCurl",
        .product(name: "Crypto", package: "swift-crypto"),
      ]),
    // The HTTP server, and its page as bytes inside the program.
    .target(name: "ServeAssets"),
    .target(
      name: "Serve",
      dependencies: [
        "ServeAssets", "SFT", "QwenModel", "NN", "Tensor", "Tokenizer", "ChatTemplate",
        "OrderedJSON",
        .product(name: "Hummingbird", package: "hummingbird"),
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOHTTPTypes", package: "swift-nio-extras"),
        .product(name: "HTTPTypes", package: "swift-http-types"),
        .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
        .product(name: "UnixSignals", package: "swift-service-lifecycle"),
        .product(name: "Logging", package: "swift-log"),
        .product(name: "Crypto", package: "swift-crypto"),
      ]),
    // The demo model and the sample data, inside the program.
    .target(name: "DemoAssets"),
    .executableTarget(
      name: "qwen-sft",
      dependencies: [
        "DemoAssets", "Serve", "Hub", "Report", "Export", "SFT", "QwenModel", "NN", "Autograd",
        "Tensor", "TensorCUDA", "Safetensors", "Tokenizer", "ChatTemplate",
        "Files", "OrderedJSON",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Logging", package: "swift-log"),
        .product(name: "Yams", package: "Yams"),
      ]),

    // Test support is a real target because the benchmark runs the same table of operations.
    // A stand-in for the GPU that runs the same text of kernels on the processor.
    .target(name: "CUDAEmulator", exclude: ["faults.cu"]),
    .target(
      name: "TensorTestSupport",
      dependencies: ["Tensor", "TensorCUDA", "CUDAEmulator", "Autograd", "NN"]),
    // A model hub on loopback that also misbehaves, on plain sockets.
    .target(
      name: "HubTestSupport",
      dependencies: ["Hub", "OrderedJSON", .product(name: "Crypto", package: "swift-crypto")]),
    .executableTarget(
      name: "tensor-bench",
      dependencies: [
        "TensorTestSupport", "Tensor", "Autograd",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ]),

    .testTarget(name: "FilesTests", dependencies: ["Files"]),
    .testTarget(name: "OrderedJSONTests", dependencies: ["OrderedJSON"]),
    .testTarget(name: "TokenizerTests", dependencies: ["Tokenizer", "OrderedJSON", "Files"]),
    .testTarget(name: "ChatTemplateTests", dependencies: ["ChatTemplate", "OrderedJSON"]),
    .testTarget(
      name: "ReportTests",
      dependencies: ["Report", "OrderedJSON", .product(name: "Yams", package: "Yams")]),
    .testTarget(
      name: "SafetensorsTests", dependencies: ["Safetensors", "Tensor", "Files", "OrderedJSON"]),
    .testTarget(name: "TensorTests", dependencies: ["CKernels", "Tensor", "TensorTestSupport"]),
    .testTarget(
      name: "TensorCUDATests",
      dependencies: [
        "TensorCUDA", "CUDAEmulator", "Tensor", "TensorTestSupport", "Files",
        .product(name: "Crypto", package: "swift-crypto"),
      ]),
    .testTarget(
      name: "AutogradTests", dependencies: ["Autograd", "Tensor", "NN", "TensorTestSupport"]),
    .testTarget(name: "NNTests", dependencies: ["NN", "Autograd", "Tensor", "TensorTestSupport"]),
    .testTarget(
      name: "QwenModelTests",
      dependencies: [
        "QwenModel", "NN", "Autograd", "Tensor", "Safetensors", "Files", "OrderedJSON",
        "TensorTestSupport",
      ]),
    .testTarget(
      name: "SFTTests",
      dependencies: [
        "SFT", "QwenModel", "NN", "Autograd", "Tensor", "Safetensors", "Tokenizer", "ChatTemplate",
        "Files", "OrderedJSON", "TensorTestSupport",
      ]),
    .testTarget(name: "GGUFTests", dependencies: ["GGUF", "Tensor", "Files", "OrderedJSON"]),
    .testTarget(
      name: "ExportTests",
      dependencies: [
        "Export", "GGUF", "SFT", "QwenModel", "NN", "Autograd", "Tensor", "Safetensors",
        "Tokenizer", "Files", "OrderedJSON",
      ]),
    .testTarget(name: "HubTests", dependencies: ["Hub", "HubTestSupport", "OrderedJSON", "Files"]),
    .testTarget(
      name: "ServeTests",
      dependencies: [
        "Serve", "SFT", "QwenModel", "Tensor", "TensorTestSupport", "CUDAEmulator",
      ]),
    .testTarget(
      name: "CLITests",
      dependencies: ["qwen-sft", "Report", "HubTestSupport", "OrderedJSON", "Files", "Tensor"]),
  ],
  swiftLanguageModes: [.v6],
  cLanguageStandard: .c2x,  // #embed
  cxxLanguageStandard: .cxx20
)

// The command that makes the documentation. Every build would fetch and compile it, so it is to be asked for.
if Context.environment["QWEN_SFT_DOCUMENTATION"] != nil {
  package.dependencies.append(
    .package(url: "https://github.com/swiftlang/swift-docc-plugin", from: "1.5.0"))
}

// One place for the settings of every Swift target.
for target in package.targets where target.type != .system {
  var settings = target.swiftSettings ?? []
  settings += [
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .treatAllWarnings(as: .error),
  ]
  target.swiftSettings = settings
}
