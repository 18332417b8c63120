/// sorted.cpp -- the reports with <libgrad/libgrad.h>.

#include <libgrad/libgrad.h>

#include "orders/others.h"

int main() {
  orders::print_gradcheck();
  orders::print_others();
}
