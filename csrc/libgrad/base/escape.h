/// libgrad/base/escape.h -- escapes any text for XML, DOT, JSON and a terminal.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace libgrad::detail {

/// A character of a text, and its length in bytes.
struct Character {
  char32_t code;  // U+FFFD for a byte that is not valid UTF-8
  size_t size;
};

/// The length in bytes of a UTF-8 character whose first byte is `first`; 0 if
/// no character starts with `first`.
constexpr size_t utf8_size(unsigned char first) {
  if (first < 0x80) {
    return 1;
  }
  if (first < 0xC2 || first > 0xF4) {
    return 0;
  }
  return first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
}

/// The first character of a text that is not empty.
inline Character first_character(std::string_view text) {
  constexpr Character wrong{0xFFFD, 1};
  const auto first = static_cast<unsigned char>(text[0]);
  const size_t size = utf8_size(first);
  if (size == 1) {
    return {first, 1};
  }
  if (size == 0 || size > text.size()) {
    return wrong;
  }
  char32_t code = first & (0xFFU >> (size + 1));
  for (size_t i = 1; i < size; ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if ((byte & 0xC0U) != 0x80) {
      return wrong;
    }
    code = (code << 6U) | (byte & 0x3FU);
  }
  constexpr char32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = code >= 0xD800 && code <= 0xDFFF;
  const bool bad = code < least[size] || code > 0x10FFFF || surrogate;
  return bad ? wrong : Character{code, size};
}

/// Whether a character is invisible: a control, a noncharacter, a line
/// separator or a mark that changes the direction of text.
constexpr bool is_hidden(char32_t code) {
  return code < 0x20 || (code >= 0x7F && code < 0xA0) || code == 0x061C ||
         (code >= 0x200E && code <= 0x200F) ||
         (code >= 0x2028 && code <= 0x202E) ||
         (code >= 0x2066 && code <= 0x2069) || code == 0xFEFF ||
         (code & 0xFFFEU) == 0xFFFE;
}

/// Calls `write(character, bytes)` for each character. A control character
/// below U+0020 is replaced by its picture (NUL by "␀"), another invisible
/// character or an invalid byte by "�".
template <class Write>
void each_character(std::string_view text, const Write& write) {
  while (!text.empty()) {
    const auto [code, size] = first_character(text);
    if (code < 0x20) {
      const char picture[] = {
          '\xE2', '\x90', static_cast<char>(0x80 + code), '\0'};
      write(char32_t{0x2400} + code, std::string_view(picture));
    } else if (is_hidden(code) || code == 0xFFFD) {
      write(char32_t{0xFFFD}, std::string_view("\xEF\xBF\xBD"));
    } else {
      write(code, text.substr(0, size));
    }
    text.remove_prefix(size);
  }
}

/// `text` as valid UTF-8 without control characters.
inline std::string plain(std::string_view text) {
  std::string out;
  each_character(text, [&](char32_t, std::string_view s) { out += s; });
  return out;
}

/// The columns that a text takes on a terminal, one for each character.
inline size_t columns(std::string_view text) {
  size_t count = 0;
  each_character(text, [&](char32_t, std::string_view) { ++count; });
  return count;
}

/// `text` escaped for XML and HTML, in elements and in quoted attributes.
inline std::string xml(std::string_view text) {
  std::string out;
  each_character(text, [&](char32_t code, std::string_view bytes) {
    switch (code) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += bytes;
    }
  });
  return out;
}

/// `text` escaped for DOT, between double quotes.
inline std::string dot(std::string_view text) {
  std::string out;
  each_character(text, [&](char32_t code, std::string_view bytes) {
    if (code == '"' || code == '\\') {
      out += '\\';
    }
    // Graphviz reads entities everywhere: "&lt;" would become "<"
    code == '&' ? out += "&amp;" : out += bytes;
  });
  return out;
}

/// `text` as a JSON string with its quotes, safe inside an HTML script as well.
/// Control characters are kept, as escapes.
inline std::string json(std::string_view text) {
  constexpr char digits[] = "0123456789abcdef";
  std::string out = "\"";
  while (!text.empty()) {
    const auto [code, size] = first_character(text);
    if (code == '"' || code == '\\') {
      out += '\\';
      out += static_cast<char>(code);
    } else if (
        code < 0x20 || code == '<' || code == '>' || code == '&' ||
        (code >= 0x7F && code < 0x10000 && is_hidden(code))) {
      out += "\\u";
      for (int shift = 12; shift >= 0; shift -= 4) {
        out += digits[(code >> static_cast<unsigned>(shift)) & 0xFU];
      }
    } else if (code == 0xFFFD) {
      out += "\xEF\xBF\xBD";
    } else {
      out += text.substr(0, size);
    }
    text.remove_prefix(size);
  }
  return out + '"';
}

}  // namespace libgrad::detail
