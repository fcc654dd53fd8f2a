# An application with the controller of docs/application.md. A header stands for the session of its own sign-in.
require "logger"
require "action_controller/railtie"
require "rack/handler/webrick"

class Application < Rails::Application
  config.secret_key_base = "x" * 64
  config.eager_load = false
  config.hosts.clear
  config.logger = Logger.new($stderr)
end

User = Struct.new(:id, :name)

class ApplicationController < ActionController::Base
  def current_user
    User.new(7, "Ålice 李") if request.headers["X-Test-User"] == "7"
  end
end

require_relative "chat_controller"

class SignOutController < ApplicationController
  def create
    head ChatController.sidemint(Net::HTTP::Delete, current_user).code.to_i
  end
end

Application.initialize!
Application.routes.draw do
  get "/chat/session", to: "chat#show"
  get "/sign-out", to: "sign_out#create"
end
Rack::Handler::WEBrick.run(Application, Host: ENV["HOST"], Port: ENV["PORT"].to_i)
