/// The Python frames of a thread, read without the GIL.

#pragma once

#include <Python.h>

/// Goes through the frames of this thread, the innermost first. It reads only
/// what the thread itself is running, which no other thread changes. It touches
/// no reference count: the code of a frame lives as long as the frame.
///
/// Relies on CPython's internal layout of frames (3.10 to 3.13, with the GIL);
/// `frames_can_be_read` compares it with what the interpreter says.
class Frames {
 public:
  Frames();
  bool at_end() const { return frame_ == nullptr; }
  void next();
  PyCodeObject* code() const;
  /// What `PyFrame_GetLasti` says.
  int position() const;

 private:
  void* frame_;
};

/// True when `Frames` sees the same as the interpreter. Needs the GIL, and a
/// Python function that is running.
bool frames_can_be_read();
