/// reversed.cpp -- the reports with every header, from the last to the first.

// clang-format off: it sorts
#include <libgrad/why.h>
#include <libgrad/unused.h>
#include <libgrad/split.h>
#include <libgrad/record.h>
#include <libgrad/plan.h>
#include <libgrad/node_hooks.h>
#include <libgrad/name.h>
#include <libgrad/linear.h>
#include <libgrad/hooks.h>
#include <libgrad/graph.h>
#include <libgrad/gradient_hooks.h>
#include <libgrad/gradcheck.h>
#include <libgrad/grad.h>
#include <libgrad/functional.h>
#include <libgrad/function.h>
#include <libgrad/draw.h>
#include <libgrad/doctor.h>
#include <libgrad/diff.h>
#include <libgrad/checkpoint.h>
#include <libgrad/chain.h>
// clang-format on

#include "orders/others.h"

int main() {
  orders::print_gradcheck();
  orders::print_others();
}
