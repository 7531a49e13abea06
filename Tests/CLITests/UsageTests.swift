// Exit codes, messages and streams of the program as a whole.

import OrderedJSON
import Testing

@Suite("Usage")
struct UsageTests {
  @Test(
    "wrong usage is one line on standard error and exit code 64",
    arguments: [
      ("nonsense", "unknown command 'nonsense'"),
      ("devcies", "did you mean 'devices'?"),
      ("data chek", "did you mean 'check'?"),
      ("devices --jsn", "did you mean '--json'?"),
      ("devices --num_thread 2", "did you mean '--num_threads'?"),
      ("devices --num-thread=2", "did you mean '--num-threads'?"),
      ("devices --num_threads", "--num-threads"),
      ("devices --num_threads zero", "zero"),
      ("devices --num_threads 0", "expected 1 to 1024, found 0"),
      ("devices --num_threads -1", "expected 1 to 1024, found -1"),
      ("devices --num_threads 1025", "expected 1 to 1024, found 1025"),
      ("devices --num_threads 99999999999999999999", "99999999999999999999"),
      ("devices --json=maybe", "expected true or false, found 'maybe'"),
      ("devices --device tpu", "tpu"),
      ("devices --device cuda:-1", "cuda:-1"),
      ("devices --device cuda:+1", "cuda:+1"),
      ("devices stray", "stray"),
      ("tokenize --skip_special_tokens", "--decode"),
      ("data check --max_seq_length 1", "expected 2 to 16777216, found 1"),
      ("data render --template_kwargs [1]", "expected a JSON object"),
      ("data render --template_kwargs {", "expected a JSON object"),
      ("data preview --index -2", "expected 0 or more, found -2"),
      ("train --learning_rate nan", "--learning_rate: expected 0 or more, found nan"),
      ("train --num_train_epochs 0", "--num_train_epochs: expected a number above 0"),
      ("quantize", "--output-dir"),
      ("bench --tokens 1048576 --batch 17", "--tokens times --batch: expected 16777216 at most"),
      ("bench --decode 1048577", "--decode: expected 1 to 1048576, found 1048577"),
      ("quantize --output_dir out --block_size 48", "--block_size: expected a power of two"),
      ("train --full --use_qlora --output_dir out", "--use_qlora freezes"),
      ("train --full --use_dora", "--use_dora describes an adapter"),
      ("train --full --lora_r 8", "--lora_r describes an adapter"),
      ("train --lr_scheduler_type cosinus", "one of the following: linear, cosine, constant, "),
      ("train --memory_budget 4GB", "--memory_budget: expected --gradient_checkpointing auto"),
      ("train --gradient_checkpointing auto --memory_budget lots", "lots"),
      ("train --gradient_checkpointing some", "some"),
      ("plan --fit 0GB", "0GB"),
      ("plan --max_steps 0", "--max_steps: expected 1 or more, found 0"),
      ("plan --full --use_qlora", "--use_qlora freezes"),
      ("train --max_steps 0", "--max_steps: expected 1 or more, found 0"),
      ("train --max_steps 9223372036854775807", "--max_steps: expected 2^40 or less"),
      (
        "train --lr_scheduler_type polynomial --lr_scheduler_kwargs {\"power\":\"x\"}",
        "--lr_scheduler_kwargs.power: expected a number, found \"x\""
      ),
      ("train --use_qlora --init_lora_weights pissa", "expected true or gaussian with --use_qlora"),
      ("plan --use_qlora --init_lora_weights olora", "expected true or gaussian with --use_qlora"),
      ("train --adam_epsilon 0", "--adam_epsilon: expected a number above 0"),
      ("train --adam_epsilon 1e-50", "--adam_epsilon: expected a number above 0"),
      ("train --lora_r 0", "--lora_r: expected 1 to 65536, found 0"),
      ("train --lora_alpha inf", "--lora_alpha: expected a finite number"),
      ("train --lora_dropout 1", "--lora_dropout: expected 0 to below 1"),
      ("train --lr_scheduler_type polynomial --learning_rate 0", "--learning_rate: expected more"),
      ("train --warmup_steps 9223372036854775807", "--warmup_steps: expected"),
      ("train --rank_pattern 8", "--rank_pattern is"),
      ("train --rank_pattern {", "--rank_pattern is no JSON object"),
      ("train --rank_pattern {\"q_proj\":0}", "expected an integer from 1 to 65536"),
      ("train --rank_pattern {\"(q_proj\":4}", "--rank_pattern cannot be used"),
      ("train --alpha_pattern {\"q_proj\":\"a\"}", "expected a finite number"),
      ("train --layers_to_transform 0 -1", "-1"),
      ("train --layers_to_transform 0,x", "--layers_to_transform: expected numbers from 0"),
      ("train --init_lora_weights loftq", "--init_lora_weights: expected true, gaussian, pissa"),
      ("train --loraplus_lr_ratio 0", "--loraplus_lr_ratio: expected a number above 0"),
      ("train --loraplus_lr_ratio 4 --full", "--loraplus_lr_ratio: expected none"),
      ("train --neftune_noise_alpha -1", "--neftune_noise_alpha: expected 0 or more"),
      ("chat --typical_p 2", "--typical_p: expected 0 to 1, found 2"),
      ("chat --no_repeat_ngram_size -1", "--no_repeat_ngram_size: expected 0 to 1000"),
      ("chat --presence_penalty 2.5", "--presence_penalty: expected -2 to 2"),
      ("chat --batch_size 0", "--batch_size: expected 1 to 1024"),
      ("serve --port -1", "--port: expected 0 to 65535"),
      ("serve --max_body_bytes 1", "--max_body_bytes: expected 1024"),
    ])
  func wrongUsage(_ line: String, _ expected: String) throws {
    let outcome = try Program().run(line)
    #expect(outcome.code == 64)
    #expect(outcome.output.isEmpty)
    #expect(outcome.faults.count == 1)
    #expect(outcome.errorLines.last?.contains(expected) == true, "\(outcome.errors)")
  }

  @Test("help of train shows defaults, that of --max_seq_length too")
  func defaults() throws {
    let help = try Program().run("train --help").output
    for text in ["(default: 2048", "(default: 0.0002)", "(default: 500)", "(default: 16)"] {
      #expect(help.contains(text), "\(text)")
    }
  }

  @Test("help and version go to standard output with exit code 0")
  func help() throws {
    let program = try Program()
    let commands = [
      "--help", "-h", "help", "", "data --help", "train --help", "help tokenize", "tokenize -h",
    ]
    for line in commands {
      let outcome = try program.run(line)
      #expect(outcome.code == 0 && outcome.errors.isEmpty)
      #expect(outcome.output.contains("USAGE: qwen-sft"))
    }
    #expect(try program.run("--version").output == "0.1.0\n")
  }

  @Test(
    "devices --json is one JSON value, whatever the spelling",
    arguments: [
      "devices --json --num_threads 3", "devices --json true --num-threads 3",
      "devices --json=1 --num_threads=3 --device cpu", "devices --num-threads=3 --json yes",
    ])
  func devices(_ line: String) throws {
    let outcome = try Program().run(line)
    #expect(outcome.code == 0 && outcome.errors.isEmpty)
    #expect(outcome.output.utf8.filter { $0 == 0x0A }.count == 1)
    let value = try JSON.parse(outcome.output)
    let cpu = try #require(value["devices"]?.arrayValue?.first)
    #expect(cpu["name"] == "cpu" && cpu["available"] == true && cpu["threads"] == 3)
    #expect((cpu["processors"]?.integerValue ?? 0) > 0)
    let cuda = try #require(value["devices"]?.arrayValue?.last)
    #expect(cuda["name"] == "cuda")
    // This machine may have a GPU: what is said must agree.
    let gpus = try #require(cuda["gpus"]?.arrayValue)
    if cuda["available"] == true {
      #expect(cuda["reason"] == .null && value["default"] == "cuda:0")
      #expect(gpus.first?["name"] == "cuda:0" && cuda["nvrtc"]?.stringValue?.isEmpty == false)
    } else {
      #expect(cuda["reason"]?.stringValue?.isEmpty == false && value["default"] == "cpu")
    }
  }

  @Test("a switch that is false is as if it were not there")
  func switchOff() throws {
    let outcome = try Program().run("devices --json false")
    #expect(outcome.code == 0)
    #expect(outcome.output.contains("OpenBLAS"))
  }

  @Test("a GPU that is not there is one clear line and exit code 1, on a machine with GPUs too")
  func cuda() throws {
    let commands = ["devices", "tokenize", "data check"].map { "\($0) --device cuda:4096" }
    for line in commands {
      let outcome = try Program().run(line)
      #expect(outcome.code == 1 && outcome.output.isEmpty)
      #expect(outcome.errorLines.count == 1 && outcome.errors.contains("CUDA is not available"))
    }
  }
}
