import NN
import OrderedJSON
import QwenModel
import SFT

func train(folder: String, output: String) throws {
  let encoder = try ConversationEncoder(folder: folder)
}
