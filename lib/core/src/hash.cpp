#include "rooftune/core/hash.hpp"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <array>

#include "rooftune/core/contract.hpp"

namespace rooftune::core {

std::string sha256_hex(std::string_view bytes) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int length = 0;
  const int done = EVP_Digest(bytes.data(), bytes.size(), digest.data(), &length, EVP_sha256(), nullptr);
  ROOFTUNE_EXPECTS(done == 1);
  std::string text;
  for (unsigned int i = 0; i < length; ++i) text += fmt::format("{:02x}", digest[i]);
  return text;
}

}  // namespace rooftune::core
