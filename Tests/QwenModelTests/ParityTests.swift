// Layer by layer against transformers, in float32, on the tiny models.

import Autograd
import NN
import OrderedJSON
import QwenModel
import Safetensors
import Tensor
import Testing

@Suite("Parity with transformers")
struct ParityTests {
  @Test(
    "every intermediate result, the logits and the log-probabilities agree", arguments: Goldens.all,
    [false, true])
  func activations(_ goldens: Goldens, keepsBFloat16: Bool) throws {
    var options = WeightOptions()
    options.keepsBFloat16 = keepsBFloat16
    let model = try QwenModel.load(directory: goldens.directory, options: options)
    let expected = try goldens.tensors()
    let rows = try goldens.goldenRows()
    let tape = Tape(mode: .inference)
    var seen: [String: Tensor] = [:]
    let hidden = model.model(
      TokenBatch(rows.map(\.ids)), on: tape, caches: [], checkpointing: .off
    ) { layer, name, value in
      seen[layer.map { "layers.\($0).\(name)" } ?? name] = value.value
    }
    seen["logits"] = model.logits(hidden).value
    var compared = 0
    for key in expected.keys where seen[key] != nil {
      let value = try #require(seen[key])
      let error = try relativeError(value, expected.tensor(key, dtype: .float32))
      #expect(error < 5e-6, "\(key): relative error \(error)")
      compared += 1
    }
    let perLayer = model.config.qkNorm ? 16 : 14
    #expect(compared == 3 + perLayer * model.config.numHiddenLayers)

    let (positions, targets) = trainedPositions(rows)
    let (_, statistics) = linearCrossEntropy(
      hidden: hidden, weight: tape.leaf(model.headWeight), rows: Tensor(positions),
      targets: Tensor(targets), scale: 1)
    let logProbabilities = try statistics.nll.doubles().map { -$0 }
    let golden = try expected.tensor("logprobs", dtype: .float32).doubles()
    #expect(logProbabilities.count == golden.count)
    // A log-probability is as exact as the logits that it is the difference of: 13 in one of the models, where a unit in the last place is 1e-6.
    let largest = try expected.tensor("logits", dtype: .float32).doubles().reduce(0) {
      max($0, $1.magnitude)
    }
    for (ours, theirs) in zip(logProbabilities, golden) {
      #expect(abs(ours - theirs) < max(5e-6, 5e-7 * largest))
    }
  }

  @Test(
    "the loss and the gradient of every parameter agree, with and without checkpointing",
    arguments: Goldens.all, [false, true])
  func gradients(_ goldens: Goldens, checkpointing: Bool) throws {
    let model = try QwenModel.load(directory: goldens.directory)
    let expected = try goldens.tensors()
    let rows = try goldens.goldenRows()
    let (positions, targets) = trainedPositions(rows)
    let tape = Tape()
    let hidden = model.hidden(
      TokenBatch(rows.map(\.ids)), on: tape, checkpointing: checkpointing ? .full : .off)
    let (loss, _) = linearCrossEntropy(
      hidden: hidden, weight: tape.leaf(model.headWeight), rows: Tensor(positions),
      targets: Tensor(targets), scale: 1 / Double(targets.count))
    let goldenLoss = try #require(try goldens.json()["loss"]?.doubleValue)
    #expect(abs(try loss.value.item() - goldenLoss) < 2e-6 * goldenLoss)
    tape.backward(from: loss)
    for (key, parameter) in model.namedParameters() {
      let gradient = try #require(parameter.gradient, "\(key) has no gradient")
      let error = try relativeError(gradient, expected.tensor("grad." + key, dtype: .float32))
      #expect(error < 2e-5, "\(key): relative error \(error)")
    }
  }
}
