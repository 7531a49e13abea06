// The files are embedded by the compiler, from the folder in which they are made and tested.

#include "DemoAssets.h"

static const unsigned char config[] = {
#embed "../../Fixtures/demo-model/config.json"
};
static const unsigned char generationConfig[] = {
#embed "../../Fixtures/demo-model/generation_config.json"
};
static const unsigned char tokenizer[] = {
#embed "../../Fixtures/demo-model/tokenizer.json"
};
static const unsigned char tokenizerConfig[] = {
#embed "../../Fixtures/demo-model/tokenizer_config.json"
};
static const unsigned char chatTemplate[] = {
#embed "../../Fixtures/demo-model/chat_template.jinja"
};
static const unsigned char weights[] = {
#embed "../../Fixtures/demo-model/model.safetensors"
};
static const unsigned char sample[] = {
#embed "../../Fixtures/sample.jsonl"
};

static const DemoAsset assets[] = {
    {"model/config.json", config, sizeof config},
    {"model/generation_config.json", generationConfig, sizeof generationConfig},
    {"model/tokenizer.json", tokenizer, sizeof tokenizer},
    {"model/tokenizer_config.json", tokenizerConfig, sizeof tokenizerConfig},
    {"model/chat_template.jinja", chatTemplate, sizeof chatTemplate},
    {"model/model.safetensors", weights, sizeof weights},
    {"sample.jsonl", sample, sizeof sample},
};

size_t demo_asset_count(void) { return sizeof assets / sizeof assets[0]; }

DemoAsset demo_asset(size_t index) { return assets[index]; }
