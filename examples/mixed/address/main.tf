variable "topic" {
  type = string
}

variable "greeting" {
  type = string
}

resource "terraform_data" "address" {
  input = "${var.greeting} by ${var.topic}"
}

output "address" {
  value = terraform_data.address.output
}
